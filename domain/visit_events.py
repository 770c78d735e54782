"""Visits, as types: what the visits agent reads of a face, keeps of a camera, and publishes.

A visit is one person's stay at one camera.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from domain.events import NAMESPACE
from domain.liveness_result import Liveness
from domain.store_rows import Landmarks


class VisitState(StrEnum):
    """Whether the person is there.

    The value `PENDING` is not published: such a visit has not been announced yet.
    """

    PENDING = "pending"
    OPEN = "open"
    ENDED = "ended"


class VisitType(StrEnum):
    """The ``ce_type`` attributes of ``faces.visits``."""

    STARTED = "fecapass.visit.started"
    UPDATED = "fecapass.visit.updated"
    ENDED = "fecapass.visit.ended"


class VisitReason(StrEnum):
    """Why a visit is announced again, or has ended; later releases may know more."""

    #: The user is another one, or is known now.
    IDENTITY = "identity"
    #: A better picture was taken.
    BEST_FACE = "best_face"
    #: It is known, or known otherwise, whether a person is there.
    LIVENESS = "liveness"
    #: The visit had ended, and the same person was back soon.
    RETURNED = "returned"
    #: No face came, while the camera saw other faces.
    LEFT = "left"
    #: No face came, and the camera saw no other face either.
    SILENT = "silent"
    #: It reached the maximum length; what follows is another visit.
    MAXIMUM = "maximum"
    #: It belongs to another visit, which goes on.
    MERGED = "merged"
    #: A person has said who it is, or who it is not.
    CORRECTED = "corrected"


def first_visit_id(face_id: UUID) -> UUID:
    """The identifier of the visit that begins with this face."""
    return uuid5(NAMESPACE, f"visit|{face_id}")


class VisitFace(msgspec.Struct, frozen=True, kw_only=True):
    """What the visits agent reads of one message of ``faces.matches``.

    Attributes:
        face_id: the face.
        event_id: ``ce_id`` of its frame.
        at: the time that counts.
        quality: fitness for recognition, 0 to 1.
        model: id of the embedder.
        user_id: whom this face alone matches.
        similarity: cosine of its best candidate.
        track_id: the track, if faces are followed.
        fresh: whether it has an embedding of its own.
        reliable: whether the embedding says who it is.
        has_crop: whether it has a crop of its own.
        suspected: whether the gate of the camera refused it as a picture of a person.
        liveness: whether a person is there; None where it is not checked.
        landmarks: of a face that was checked and has an embedding of its own; see
            `domain.events.DetectedFace`.
    """

    face_id: UUID
    event_id: str
    at: datetime
    quality: float
    model: str
    user_id: UUID | None = None
    similarity: float | None = None
    track_id: UUID | None = None
    fresh: bool = True
    reliable: bool = True
    has_crop: bool = True
    suspected: bool = False
    liveness: Liveness | None = None
    landmarks: Landmarks | None = None

    @property
    def frame(self) -> "FramePosition":
        """Time and name of its frame: faces are ordered by it."""
        return FramePosition(self.at, self.event_id)


class FramePosition(NamedTuple):
    """Time and name of a frame: the order in which the frames of a camera count."""

    at: datetime
    event_id: str


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit as it was announced last, but for the counts, which are current.

    Attributes:
        visit_id: the visit: UUIDv5 of the namespace and ``visit|{face_id of its first face}``.
        camera_id: the camera.
        revision: number of its announcements, from 1; 0 before the first.
        state: whether the person is there.
        user_id: who it is; None while unknown.
        unknown_id: of a person who is seen again and not enrolled, as listings show it; None in
            messages, which are sent before it is known.
        similarity: cosine of the visit's mean embedding and the template of ``user_id``.
        started_at: time of the first face.
        last_seen_at: time of the last face.
        ended_at: the same as ``last_seen_at`` of an ended visit, else None.
        announced_at: the camera's time at the last announcement.
        faces: number of faces, late ones included.
        late: number of faces that came too late to change anything else.
        best_face_id: the face whose crop shows the visit.
        crop_key: S3 key of that crop; None where it is gone.
        liveness: whether a person is there, by all faces; None where it is not checked.
        reason: why it was announced again, or has ended; None of the first announcement.
        continues: the visit that reached the maximum length before this one.
        correction_id: the correction by which a person has said who it is, or who it is not; then
            no face changes ``user_id``. None: it is decided by the faces.
        supersedes: of the announcement of a correction, the ``ce_id`` of the one that it replaces;
            else None. It is not stored with the visit.
    """

    visit_id: UUID
    camera_id: str
    revision: int = 0
    state: VisitState = VisitState.PENDING
    user_id: UUID | None = None
    unknown_id: UUID | None = None
    similarity: float | None = None
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None = None
    announced_at: datetime | None = None
    faces: int = 0
    late: int = 0
    best_face_id: UUID | None = None
    crop_key: str | None = None
    liveness: Liveness | None = None
    reason: str | None = None
    continues: UUID | None = None
    correction_id: UUID | None = None
    supersedes: str | None = None


class VisitMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ``faces.visits``: the type, and the visit as it was then.

    Its ``ce_id`` is ``{visit_id}/{revision}``.
    """

    type: VisitType
    visit: Visit


class StoredFace(msgspec.Struct, frozen=True, kw_only=True):
    """A face with its visit, as stored."""

    face: VisitFace
    visit_id: UUID


class StoredCamera(msgspec.Struct, frozen=True, kw_only=True):
    """All that is stored about the visits of a camera that are not over for good.

    Attributes:
        camera_id: the camera.
        version: counts the commits; a commit with another version is refused.
        partition: the partition of ``faces.matches`` that its faces came from last.
        clock: time of its latest face.
        checkpoint: the state up to some frame, encoded; None: from the first of ``faces``.
        faces: the faces after that frame, without late ones, in order.
        visits: all visits of ``faces`` and of the checkpoint.
        pending_messages: whether there are messages that may not have been sent.
    """

    camera_id: str
    version: int
    partition: int
    clock: datetime
    checkpoint: bytes | None
    faces: tuple[StoredFace, ...]
    visits: tuple[Visit, ...]
    pending_messages: bool


class CameraChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch changes for one camera: written as a whole or not at all.

    Attributes:
        camera_id: the camera.
        version: the version that the change was made from; 0: there is no row yet.
        partition: see `StoredCamera`.
        clock: see `StoredCamera`.
        checkpoint: the new checkpoint; None leaves the stored one.
        checkpoint_after: the last frame that the checkpoint contains; set with ``checkpoint``.
        visits: the rows that are new or have changed.
        faces: the visit of each new face, and of each face whose visit is another one now; None
            where it belongs to no visit any more.
        late: those of ``faces`` that are late.
        merged: visits whose faces all belong to another one: (from, to), in order.
        messages: what is to be announced, in order.
    """

    camera_id: str
    version: int
    partition: int
    clock: datetime
    checkpoint: bytes | None = None
    checkpoint_after: FramePosition | None = None
    visits: tuple[Visit, ...] = ()
    faces: tuple[tuple[UUID, UUID | None], ...] = ()
    late: frozenset[UUID] = frozenset()
    merged: tuple[tuple[UUID, UUID], ...] = ()
    messages: tuple[VisitMessage, ...] = ()
