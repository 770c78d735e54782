"""Erasing a person from every store, and looking again afterwards.

Every step may be repeated. The user's row goes last, so that after a failure the same call finds
the person and does the rest.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import msgspec

from domain.object_keys import uploaded_key
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.main.user_erasure import Author
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors

#: Attempts at a person whose traces keep coming. What is in work when the tombstones are set may
#: still bring some; what begins later cannot.
_PASSES = 3


@dataclass(frozen=True, slots=True)
class ErasureStores:
    """The stores that may have data of a user."""

    records: Records
    vectors: Vectors
    crops: Crops
    recents: Recents


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


class _Traces(msgspec.Struct, frozen=True):
    """How many traces there are, by store and kind; and the keys of those in S3."""

    counts: dict[tuple[str, str], int]
    crop_keys: list[str]
    photo_keys: list[str]
    upload_ids: list[str]


async def look_for(stores: ErasureStores, user_id: UUID) -> Receipt:
    """What there is of a person; nothing is changed.

    Raises:
        StoreUnavailable: a store is unavailable.
    """
    traces = await _look(stores, user_id)
    checks = [
        StoreCheck(store=store, what=what, found=found)
        for (store, what), found in traces.counts.items()
    ]
    return Receipt(user_id=user_id, dry_run=True, checks=checks)


async def erase(stores: ErasureStores, user_id: UUID, author: Author) -> Receipt:
    """Erase a person, then look in every store again, until nothing is found.

    1. vectors: the templates and every gallery; the link of sightings. A tombstone stays, so that
       a photo still in flight cannot bring the person back
    2. S3: crops of enrolled faces and of sightings, photos that came by claim check
    3. Redis: recents, matches, answers; a tombstone for what is in work
    4. main: enrolled faces and answers; sightings lose link and crop; the user; an audit entry

    What remains is an unknown's sightings, and an audit trail of identifiers.

    Raises:
        StoreUnavailable: a store is unavailable; the user's row is still there, or nothing is left
            but crops that no row names, which the reconciler deletes.
    """
    traces = await _look(stores, user_id)
    found, removed = dict(traces.counts), dict.fromkeys(traces.counts, 0)
    for attempt in range(_PASSES):
        for name, number in (await _remove(stores, user_id, author, traces)).items():
            removed[name] += number
        traces = await _look(stores, user_id, traces)
        if not any(traces.counts.values()):
            break
        if attempt + 1 < _PASSES:
            found = {name: found[name] + traces.counts[name] for name in found}
    checks = [
        StoreCheck(
            store=name[0],
            what=name[1],
            # What came while the person was being erased was removed too.
            found=max(found[name], removed[name]),
            removed=removed[name],
            left=traces.counts[name],
        )
        for name in found
    ]
    return Receipt(user_id=user_id, dry_run=False, checks=checks)


async def erase_unless_used(
    stores: ErasureStores, user_id: UUID, author: Author, entries: int
) -> bool:
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
    if not await stores.records.erase_untouched_user(user_id, author, entries):
        return False
    traces = await _look(stores, user_id)
    await stores.vectors.erase_user(user_id)
    await stores.crops.delete_many([*traces.crop_keys, *traces.photo_keys])
    await stores.recents.forget_user(user_id, traces.upload_ids)
    return True


async def _look(
    stores: ErasureStores,
    user_id: UUID,
    before: _Traces | None = None,
) -> _Traces:
    """Count the traces; data without rows is looked up by the keys that were found before."""
    main = await stores.records.traces_of(user_id)
    vector = await stores.vectors.traces_of(user_id)
    known = before or _Traces({}, [], [], [])
    crop_keys = await _existing(stores.crops, {*main.crop_keys, *known.crop_keys})
    named = [uploaded_key(dataref, stores.crops.bucket) for dataref in main.datarefs]
    photos = [
        one.key
        for event in main.upload_events
        async for page in stores.crops.pages(f"uploads/{event}")
        for one in page
    ]
    photo_keys = await _existing(
        stores.crops, {*photos, *known.photo_keys, *(key for key in named if key)}
    )
    upload_ids = sorted({*main.upload_ids, *known.upload_ids})
    counts = {
        ("vector", "templates"): vector.templates,
        ("vector", "gallery entries"): vector.galleries,
        ("vector", "links of sightings"): vector.sightings,
        ("s3", "crops"): len(crop_keys),
        ("s3", "photos by claim check"): len(photo_keys),
        ("redis", "entries"): await stores.recents.traces_of(user_id, upload_ids),
        ("main", "enrolled faces"): main.enrolled,
        ("main", "links of sightings"): main.sightings,
        ("main", "answers to uploads"): main.answers,
        ("main", "user"): main.user,
    }
    return _Traces(counts, crop_keys, photo_keys, upload_ids)


async def _existing(crops: Crops, keys: set[str]) -> list[str]:
    """Those of these objects that exist; `Crops` limits the number of parallel requests."""
    asked = sorted(keys)
    there = await asyncio.gather(*(crops.exists(key) for key in asked))
    return [key for key, is_there in zip(asked, there, strict=True) if is_there]


async def _remove(
    stores: ErasureStores, user_id: UUID, author: Author, traces: _Traces
) -> dict[tuple[str, str], int]:
    """One pass over all stores; returns how many of each kind went."""
    vector = await stores.vectors.erase_user(user_id)
    await stores.crops.delete_many([*traces.crop_keys, *traces.photo_keys])
    entries = await stores.recents.forget_user(user_id, traces.upload_ids)
    noted = {
        "templates": vector.templates,
        "sightings": vector.sightings,
        "crops": len(traces.crop_keys),
    }
    main = await stores.records.erase_user(user_id, author, noted)
    # Faces that were committed since the look have brought crops of their own.
    late = await _existing(stores.crops, set(main.crop_keys) - set(traces.crop_keys))
    await stores.crops.delete_many(late)
    traces.crop_keys.extend(late)
    return {
        ("vector", "templates"): vector.templates,
        ("vector", "gallery entries"): traces.counts["vector", "gallery entries"],
        ("vector", "links of sightings"): vector.sightings,
        ("s3", "crops"): len(traces.crop_keys),
        ("s3", "photos by claim check"): len(traces.photo_keys),
        ("redis", "entries"): entries,
        ("main", "enrolled faces"): main.enrolled,
        ("main", "links of sightings"): main.sightings,
        ("main", "answers to uploads"): main.answers,
        ("main", "user"): main.user,
    }
