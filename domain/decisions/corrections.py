"""What a correction by a person changes, and what an undo of it restores. Pure.

A person says that a face is not a user, or is one. The label of the face changes, nothing is
trained: "not X" keeps later probes that are as close to the face as to the template of X from being
taken for X (`domain.decisions.matching`). What the person said stays, whatever is decided again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.events import standing_decision

#: For so long a correction can be undone.
UNDO_WITHIN = timedelta(days=30)

#: The identity of a visit comes from its best embeddings (`visits.stays.BEST`); as many are vetoed.
MOST_VETOED = 10


class CorrectionKind(StrEnum):
    """What a person said."""

    #: This face, or the person of this visit, is not this user.
    NOT_USER = "not_user"
    #: This face, or the person of this visit, is this user.
    IS_USER = "is_user"
    #: Two users are one person.
    MERGE = "merge"
    #: Photos of a user show another one.
    SPLIT = "split"
    #: This photo is not to count.
    PHOTO_OUT = "photo_out"
    #: An unknown is a user.
    PROMOTE = "promote"
    #: An unknown is no face, or not of interest.
    DISMISS = "dismiss"
    #: An earlier correction was wrong.
    UNDO = "undo"


class CorrectionError(Exception):
    """A correction that cannot be made.

    Attributes:
        code: stable, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceLabel:
    """What is said of a face.

    Attributes:
        face_id: the face.
        user_id: who it is; None: an unknown's.
        similarity: as stored.
        runner_up_similarity: as stored.
        decision: what decided.
        correction_id: the last correction of this face; None: no person has said anything.
        embedded_as: the face whose embedding is this one's: itself, or the best one of its track.
        quality: fitness for recognition, 0 to 1.
        has_embedding: whether the embedding is its own.
    """

    face_id: UUID
    user_id: UUID | None = None
    similarity: float | None = None
    runner_up_similarity: float | None = None
    decision: str | None = None
    correction_id: UUID | None = None
    embedded_as: UUID
    quality: float = 0.0
    has_embedding: bool = True


class Veto(NamedTuple):
    """The embedding of this face is not to be taken for this user's."""

    face_id: UUID
    user_id: UUID


def relabelled(kind: CorrectionKind, label: FaceLabel, user_id: UUID) -> FaceLabel | None:
    """What a face is after a person has said who it is, or is not; None: as it was.

    Args:
        kind: `CorrectionKind.NOT_USER` or `CorrectionKind.IS_USER`.
        label: the face before.
        user_id: the user that the person has named.
    """
    if kind is CorrectionKind.NOT_USER:
        if label.user_id != user_id:
            return None
        return replace(label, user_id=None, decision="vetoed")
    # No similarity has decided this one.
    return replace(
        label, user_id=user_id, similarity=None, runner_up_similarity=None, decision="matched"
    )


def relabelled_all(
    kind: CorrectionKind, labels: Iterable[FaceLabel], user_id: UUID, denied: Collection[UUID]
) -> list[FaceLabel]:
    """The faces of which a correction says something, as they are after it.

    "Not X" of a face of which a person has said so before leaves the label, but stands on its own:
    an undo of the earlier one does not give the face back to X.

    Args:
        kind: `CorrectionKind.NOT_USER` or `CorrectionKind.IS_USER`.
        labels: the faces before.
        user_id: the user that the person has named.
        denied: the embeddings of which a standing veto says that they are not the user's.
    """
    after = []
    for one in labels:
        label = relabelled(kind, one, user_id)
        is_said = one.user_id is None and one.correction_id is not None
        if label is None and is_said and one.embedded_as in denied:
            label = one
        if label is not None:
            after.append(label)
    return after


def vetoes_of(kind: CorrectionKind, faces: Sequence[FaceLabel], user_id: UUID) -> set[Veto]:
    """The vetoes that follow from a correction.

    Of a visit its best faces are vetoed. "Is Y" of a face that was taken for X means "not X".

    Args:
        kind: `CorrectionKind.NOT_USER` or `CorrectionKind.IS_USER`.
        faces: as they were before: one face, or those of a visit.
        user_id: the user that the person has named.
    """
    usable = [one for one in faces if one.decision != "unreliable"]
    if kind is CorrectionKind.NOT_USER:
        return {Veto(face, user_id) for face in _best(usable)}
    others = {one.user_id for one in usable if one.user_id is not None} - {user_id}
    return {
        Veto(face, other)
        for other in others
        for face in _best([one for one in usable if one.user_id == other])
    }


def _best(faces: Iterable[FaceLabel]) -> list[UUID]:
    """The embeddings that show a person best, at most `MOST_VETOED`."""
    ordered = sorted(faces, key=lambda one: (not one.has_embedding, -one.quality, one.face_id))
    return list(dict.fromkeys(one.embedded_as for one in ordered))[:MOST_VETOED]


def restored(before: FaceLabel, now: FaceLabel, correction_id: UUID) -> FaceLabel | None:
    """What a face is after an undo; None: as it is, because a later correction stands.

    Args:
        before: the face before the correction; a user who was erased since is None.
        now: the face as it is.
        correction_id: the correction that is undone.
    """
    if now.correction_id != correction_id:
        return None
    return replace(
        now,
        user_id=before.user_id,
        similarity=before.similarity,
        runner_up_similarity=before.runner_up_similarity,
        decision=standing_decision(before.decision, before.user_id),
    )


def require_undoable(
    kind: CorrectionKind, made_at: datetime, now: datetime, *, undone: bool
) -> None:
    """Refuse an undo that is too late, or was made before.

    Raises:
        CorrectionError: ``already_undone``, ``undo_of_an_undo``, or ``too_late_to_undo``.
    """
    if kind is CorrectionKind.UNDO:
        raise CorrectionError("undo_of_an_undo", "this is an undo; make the correction again")
    if undone:
        raise CorrectionError("already_undone", "this correction was undone before")
    if now - made_at > UNDO_WITHIN:
        raise CorrectionError(
            "too_late_to_undo", f"a correction can be undone for {UNDO_WITHIN.days} days"
        )


def require_different(user_id: UUID, other: UUID) -> None:
    """Refuse to merge a user with itself, or to split photos off to the same user.

    Raises:
        CorrectionError: ``same_user``.
    """
    if user_id == other:
        raise CorrectionError("same_user", "these are the same user")


def require_photos(wanted: Collection[UUID], found: Collection[UUID]) -> None:
    """Refuse photos that are not enrolled for the user.

    Raises:
        CorrectionError: ``photo_not_found``.
    """
    if not wanted or set(wanted) - set(found):
        raise CorrectionError("photo_not_found", "this user has no such photo")


def who_is_left(into: Mapping[UUID, UUID | None]) -> dict[UUID, UUID]:
    """By each user who was merged the one who is left, after all merges.

    Args:
        into: by user the one that it was merged into; None: it was not.
    """
    left: dict[UUID, UUID] = {}
    for user in into:
        other = into[user]
        while other is not None:
            left[user] = other
            other = into.get(other)
    return left
