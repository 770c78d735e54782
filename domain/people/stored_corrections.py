"""Corrections, as they are asked for and as they are stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from domain.decisions.corrections import UNDO_WITHIN, CorrectionKind
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.personal_data import Author

#: The most faces and visits that a message names.
MOST_NAMED = 1000


class CorrectionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says.

    Attributes:
        kind: which correction.
        author: who says it.
        user_id: who it is not, or is; who is left after a merge; whose photos are split off, or
            whose photo is taken out; who an unknown is. None where it is about no user.
        other_user_id: who is merged into ``user_id``; whose the split photos are.
        face_id: the face, or the photo to take out.
        visit_id: the visit, instead of a face.
        face_ids: the photos to split off.
        unknown_id: the unknown that is a user, or is put aside.
        id: names the correction.
    """

    kind: CorrectionKind
    author: Author
    user_id: UUID | None = None
    other_user_id: UUID | None = None
    face_id: UUID | None = None
    visit_id: UUID | None = None
    face_ids: tuple[UUID, ...] = ()
    unknown_id: UUID | None = None
    id: UUID = msgspec.field(default_factory=uuid4)

    @property
    def user(self) -> UUID:
        """``user_id`` of a kind that is about a user."""
        return _required(self.user_id)


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """A stored correction.

    Attributes:
        id: names it.
        made_at: when, by the clock of the database.
        kind: which correction; ``undo`` for an undo.
        actor: who made it.
        user_id: see `CorrectionRequest`.
        other_user_id: see `CorrectionRequest`.
        face_id: see `CorrectionRequest`.
        visit_id: see `CorrectionRequest`.
        unknown_id: see `CorrectionRequest`.
        undoes: the correction that this one undoes.
        undone_by: the correction that undoes this one.
        detail: numbers: ``faces``, ``visits``, ``vetoes``; and what an undo needs.
    """

    id: UUID
    made_at: datetime
    kind: CorrectionKind
    actor: str
    user_id: UUID | None = None
    other_user_id: UUID | None = None
    face_id: UUID | None = None
    visit_id: UUID | None = None
    unknown_id: UUID | None = None
    undoes: UUID | None = None
    undone_by: UUID | None = None
    detail: Mapping[str, Any] = {}

    @property
    def user(self) -> UUID:
        """``user_id`` of a kind that is about a user."""
        return _required(self.user_id)

    @property
    def undo_until(self) -> datetime:
        """Until when it can be undone."""
        return self.made_at + UNDO_WITHIN

    def can_be_undone(self, now: datetime) -> bool:
        """Whether it can be undone now."""
        is_undo = self.kind is CorrectionKind.UNDO
        return not is_undo and self.undone_by is None and now <= self.undo_until


_TYPES = {
    CorrectionKind.MERGE: PeopleChangeType.USER_MERGED,
    CorrectionKind.SPLIT: PeopleChangeType.USER_SPLIT,
    CorrectionKind.PROMOTE: PeopleChangeType.UNKNOWN_PROMOTED,
    CorrectionKind.DISMISS: PeopleChangeType.UNKNOWN_DISMISSED,
}


def change_of(
    correction: Correction,
    faces: tuple[UUID, ...],
    visits: tuple[UUID, ...],
    *,
    undone: Correction | None = None,
) -> PeopleChange:
    """What is announced about a correction.

    Of "not X", and of an undo of "is X", X is the other user: who a face was taken for.

    Args:
        correction: the correction.
        faces: those that have changed.
        visits: those that have changed.
        undone: the correction that this one undoes.
    """
    said = undone or correction
    user = said.user_id
    other = said.other_user_id
    denies = said.kind is CorrectionKind.NOT_USER
    affirms = said.kind is CorrectionKind.IS_USER
    if (denies and undone is None) or (affirms and undone is not None):
        user, other = other, user
    return PeopleChange(
        change_id=correction.id,
        type=_TYPES.get(said.kind, PeopleChangeType.FACE_CORRECTED),
        at=correction.made_at,
        user_id=user,
        other_user_id=other,
        unknown_id=said.unknown_id,
        face_ids=faces[:MOST_NAMED],
        visit_ids=visits[:MOST_NAMED],
        correction_id=correction.id,
        correction=correction.kind.value,
        undoes=correction.undoes,
    )


def _required(user_id: UUID | None) -> UUID:
    if user_id is None:
        raise ValueError("this correction is about no user")
    return user_id
