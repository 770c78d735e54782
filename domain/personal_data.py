"""Personal data: the interface of every store that has some, so that no store is forgotten.

Erasure, retention and the reconciler use one list of the stores (`sinks.stores.Stores`). Each store
lists where it names a user or a face; a test compares these lists with the tables.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import ClassVar, NamedTuple
from uuid import UUID


class Author(NamedTuple):
    """Who erases, for the audit trail: ``key:{id}`` or ``cli:{account}``, and the request."""

    actor: str
    request_id: str | None = None


#: Where no caller is named.
SYSTEM = Author("system")


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What one store knows about data in other stores.

    Attributes:
        face_ids: faces.
        crop_keys: S3 keys of crops.
        snapshot_keys: S3 keys of snapshots.
        upload_events: events of photos sent in to enrol the user, refused ones included.
        datarefs: addresses of such photos that came by claim check, as far as they are known.
        upload_ids: Kafka keys of uploads whose answers name the user.
        unknown_ids: unknowns, whose templates are in the vector database.
        visit_ids: visits of the user, of which templates of unknowns may be made.
    """

    face_ids: frozenset[UUID] = frozenset()
    crop_keys: frozenset[str] = frozenset()
    snapshot_keys: frozenset[str] = frozenset()
    upload_events: frozenset[UUID] = frozenset()
    datarefs: frozenset[str] = frozenset()
    upload_ids: frozenset[str] = frozenset()
    unknown_ids: frozenset[UUID] = frozenset()
    visit_ids: frozenset[UUID] = frozenset()

    def __or__(self, other: "References") -> "References":
        """What either of them has."""
        names = (one.name for one in fields(self))
        return References(**{name: getattr(self, name) | getattr(other, name) for name in names})


NO_REFERENCES = References()


@dataclass(frozen=True, slots=True)
class DataSubject:
    """The user whose data is looked for, or erased.

    Attributes:
        id: the user.
        known: what other stores know about data in this one.
        author: who erases.
        removed: what was erased elsewhere before, for the audit trail; nothing personal.
    """

    id: UUID
    known: References = NO_REFERENCES
    author: Author = SYSTEM
    removed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What is too old.

    Attributes:
        sightings: faces seen that were stored before this moment; None keeps all.
        ledger: lines of the ledger that were written before it; None keeps all.
        limit: at most so many rows of each in one call.
        known: data in this store whose rows in the main database were deleted.
        unknowns: unknowns who were not seen since this moment; None keeps all.
    """

    sightings: datetime | None
    ledger: datetime | None
    limit: int
    known: References = NO_REFERENCES
    unknowns: datetime | None = None


@dataclass(frozen=True, slots=True)
class Traces:
    """What a store found, or removed, by the names that receipts have for it.

    Attributes:
        counts: how many of each kind.
        elsewhere: what this store knows about data in other stores.
    """

    counts: Mapping[str, int]
    elsewhere: References = NO_REFERENCES

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(self.counts.values())


class FacePart(NamedTuple):
    """What a store other than the main database keeps of one face.

    Attributes:
        face_id: the face.
        kind: ``crop``, ``sighting`` or ``template``.
        crop_key: of a crop, its key.
    """

    face_id: UUID
    kind: str
    crop_key: str | None = None


class PersonalData(ABC):
    """A store that names users or faces.

    Attributes:
        receipt_name: what receipts call the store.
        erased_places: where it names them (``table.column``, key or prefix), and what becomes of
            that when a user is erased.
        kept_places: where it still names a user who was erased, and why.
    """

    receipt_name: ClassVar[str]
    erased_places: ClassVar[Mapping[str, str]]
    kept_places: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    async def traces(self, user: DataSubject) -> Traces:
        """Count what there is of a user; nothing is changed.

        Raises:
            StoreUnavailable: the store is unavailable.
        """

    @abstractmethod
    async def erase(self, user: DataSubject) -> Traces:
        """Remove a user, and keep what is in work from bringing the user back.

        Doing it again is harmless.

        Returns:
            How many of each kind were removed.

        Raises:
            StoreUnavailable: the store is unavailable; do it again.
        """

    @abstractmethod
    async def expire(self, before: Cutoffs) -> Traces:
        """Delete what is too old; nothing that is younger, and nothing enrolled.

        Returns:
            How many of each kind were deleted, and what the deleted rows knew about other stores.

        Raises:
            StoreUnavailable: the store is unavailable; what was deleted stays so.
        """


class FaceParts(PersonalData):
    """A store that keeps parts of faces, whose rows are in the main database."""

    @abstractmethod
    def face_parts(self, before: datetime, limit: int) -> AsyncIterator[Sequence[FacePart]]:
        """What was stored before a moment, in pages.

        Args:
            before: the moment.
            limit: of a page.

        Raises:
            StoreUnavailable: the store is unavailable.
        """

    @abstractmethod
    async def discard(self, parts: Sequence[FacePart]) -> None:
        """Delete parts whose faces have no row; what is not there is no error.

        Raises:
            StoreUnavailable: the store is unavailable.
        """
