"""Erasing a person from every store, and looking again afterwards.

Every step may be repeated. The user's row goes last, so that after a failure the same call finds
the person and does the rest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

import msgspec

from domain.personal_data import (
    NO_REFERENCES,
    Author,
    DataSubject,
    PersonalData,
    References,
    Traces,
)
from sinks.stores import Stores

#: Attempts at a person whose traces keep coming. What is in work when the tombstones are set may
#: still bring some; what begins later cannot.
_PASSES = 3


class StoreCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a receipt.

    Attributes:
        store: ``vector``, ``s3``, ``redis`` or ``main``.
        what: what was looked for.
        found: how many there were.
        removed: how many were deleted, or lost their link to the person.
        left: how many a second look found; None when there was none.
    """

    store: str
    what: str
    found: int
    removed: int = 0
    left: int | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure came to, in every store.

    Attributes:
        user_id: the person.
        dry_run: nothing was removed.
        checks: one line for each thing that was looked for.
    """

    user_id: UUID
    dry_run: bool
    checks: list[StoreCheck]

    @property
    def complete(self) -> bool:
        """Whether the second look found nothing."""
        return not self.dry_run and all(check.left == 0 for check in self.checks)

    @property
    def found(self) -> int:
        """How many traces there were in all."""
        return sum(check.found for check in self.checks)


#: How many there are, by store and kind.
_Counts: TypeAlias = dict[tuple[str, str], int]


async def look_for(stores: Stores, user_id: UUID) -> Receipt:
    """What there is of a person; nothing is changed.

    Users who were merged into one are one person with it.

    Raises:
        StoreUnavailable: a store is unavailable.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for one in await stores.records.merged_with(user_id):
        counts.update((await _look(stores, DataSubject(one)))[0])
    checks = [
        StoreCheck(store=store, what=what, found=found) for (store, what), found in counts.items()
    ]
    return Receipt(user_id=user_id, dry_run=True, checks=checks)


async def erase(stores: Stores, user_id: UUID, author: Author) -> Receipt:
    """Erase a person from every store, as `_erase` does; with all users merged with this one.

    Raises:
        StoreUnavailable: a store is unavailable; do it again.
    """
    erased: dict[UUID, Receipt] = {}
    # Of a merge that began before the tombstones were set, the user who is left comes later: the
    # main database then keeps the row of the one who was merged, which leads there.
    while (family := await stores.records.merged_with(user_id)) and set(family) - erased.keys():
        for one in family:
            erased[one] = await _erase(stores, one, author)
    receipts = list(erased.values())
    checks = [
        StoreCheck(
            store=first.store,
            what=first.what,
            found=sum(check.found for check in same),
            removed=sum(check.removed for check in same),
            left=sum(check.left or 0 for check in same),
        )
        for same in zip(*(receipt.checks for receipt in receipts), strict=True)
        for first in same[:1]
    ]
    return Receipt(user_id=user_id, dry_run=False, checks=checks)


async def _erase(stores: Stores, user_id: UUID, author: Author) -> Receipt:
    """Erase a person, then look in every store again, until nothing is found.

    1. vectors: the templates and every gallery; the link of sightings. A tombstone stays, so that
       a photo still in flight cannot bring the person back
    2. S3: crops of enrolled faces and of sightings, snapshots that show the user, photos that came
       by claim check
    3. Redis: recents, matches, answers; a tombstone for what is in work
    4. main: enrolled faces and answers; sightings and visits lose link and crops; the user; an
       audit entry

    What remains is an unknown's sightings, and an audit trail of identifiers.

    Raises:
        StoreUnavailable: a store is unavailable; the user's row is still there, or nothing is left
            but crops and snapshots that no row names, which the reconciler deletes.
    """
    left, known = await _look(stores, DataSubject(user_id, author=author))
    found, removed = dict(left), dict.fromkeys(left, 0)
    for attempt in range(_PASSES):
        user = DataSubject(user_id, known, author)
        gone, known = await _remove(stores.personal_data, user)
        late = References(
            crop_keys=known.crop_keys - user.known.crop_keys,
            snapshot_keys=known.snapshot_keys - user.known.snapshot_keys,
        )
        if late != NO_REFERENCES:
            # Faces that were committed since the look have brought pictures of their own.
            user = replace(user, known=late)
            for name, number in (await _remove(stores.personal_data[:-1], user))[0].items():
                gone[name] += number
        for name, number in gone.items():
            removed[name] += number
        left, known = await _look(stores, replace(user, known=known))
        if not any(left.values()):
            break
        if attempt + 1 < _PASSES:
            found = {name: found[name] + left[name] for name in found}
    checks = [
        StoreCheck(
            store=name[0],
            what=name[1],
            # What came while the person was being erased was removed too.
            found=max(found[name], removed[name]),
            removed=removed[name],
            left=left[name],
        )
        for name in found
    ]
    return Receipt(user_id=user_id, dry_run=False, checks=checks)


async def erase_unless_used(stores: Stores, user_id: UUID, author: Author, entries: int) -> bool:
    """Erase a person of whom nothing was enrolled, unless others had to do with them.

    Here the user's row is deleted first, under a lock and with the decision: from then on no photo
    can be enrolled. A worker that is processing a photo at that moment finds the tombstone.

    Args:
        stores: all of them.
        user_id: the person.
        author: who erases.
        entries: the number of the caller's own audit entries about the user; if there are more,
            another client may need this user.

    Returns:
        Whether the person is gone.

    Raises:
        StoreUnavailable: a store is unavailable; the user's row may be gone, and `erase` does the
            rest.
    """
    user = DataSubject(user_id, author=author)
    if not await stores.records.erase_untouched_user(user, entries):
        return False
    _, known = await _look(stores, user)
    await _remove(stores.personal_data[:-1], replace(user, known=known))
    return True


async def _look(stores: Stores, user: DataSubject) -> tuple[_Counts, References]:
    """Count the traces; data without rows is looked up by the keys that were found before.

    The main database comes first: it knows what is in the others.
    """
    known, counted = user.known, []
    for store in reversed(stores.personal_data):
        found = await store.traces(replace(user, known=known))
        known |= found.elsewhere
        counted.append(_named(store, found))
    return {name: number for one in reversed(counted) for name, number in one.items()}, known


async def _remove(stores: Sequence[PersonalData], user: DataSubject) -> tuple[_Counts, References]:
    """One pass over these stores; returns how many of each kind went, and what is known now."""
    known = user.known
    gone: _Counts = {}
    removed: dict[str, int] = {}
    for store in stores:
        erased = await store.erase(replace(user, removed=removed))
        known |= erased.elsewhere
        gone |= _named(store, erased)
        removed |= erased.counts
    return gone, known


def _named(store: PersonalData, found: Traces) -> _Counts:
    return {(store.receipt_name, what): number for what, number in found.counts.items()}
