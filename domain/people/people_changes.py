"""What is announced on ``people.changes``: who was corrected, merged, split off or promoted."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class PeopleChangeType(StrEnum):
    """The ``ce_type`` attributes of ``people.changes``."""

    FACE_CORRECTED = "fecapass.face.corrected"
    USER_MERGED = "fecapass.user.merged"
    USER_SPLIT = "fecapass.user.split"
    UNKNOWN_CREATED = "fecapass.unknown.created"
    UNKNOWN_MERGED = "fecapass.unknown.merged"
    UNKNOWN_PROMOTED = "fecapass.unknown.promoted"
    UNKNOWN_DISMISSED = "fecapass.unknown.dismissed"


class PeopleChange(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ``people.changes``. It names people by their identifiers alone.

    Attributes:
        change_id: names the change once and for all, also the message's ``ce_id``.
        type: as ``ce_type``.
        at: when it was made.
        user_id: the user that it is about: who a face is, who is left after a merge or a split, who
            an unknown became; None where it is about no user.
        other_user_id: who a face was taken for, who was merged into ``user_id``, or whom photos
            were split off to.
        unknown_id: the unknown that it is about; of a merge, the one that is left.
        other_unknown_id: the unknown that was merged into ``unknown_id``.
        face_ids: the faces that it is about, at most 1000.
        visit_ids: the visits that it is about, at most 1000.
        correction_id: the correction that it comes from; None for other changes.
        correction: what kind of correction that is; None for other changes.
        undoes: the correction that it undoes; None where it undoes none.
    """

    change_id: UUID
    type: PeopleChangeType
    at: datetime
    user_id: UUID | None = None
    other_user_id: UUID | None = None
    unknown_id: UUID | None = None
    other_unknown_id: UUID | None = None
    face_ids: tuple[UUID, ...] = ()
    visit_ids: tuple[UUID, ...] = ()
    correction_id: UUID | None = None
    correction: str | None = None
    undoes: UUID | None = None

    @property
    def key(self) -> UUID:
        """The Kafka key: the user or the unknown that it is about, so that these are in order."""
        named = (self.user_id, self.unknown_id, self.other_user_id, self.other_unknown_id)
        return next((one for one in named if one is not None), self.change_id)

    @property
    def users(self) -> frozenset[UUID]:
        """All users that it names: an erasure deletes it if one of them is erased."""
        return frozenset(one for one in (self.user_id, self.other_user_id) if one is not None)
