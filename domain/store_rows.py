"""What goes into the stores and comes out of them, as small immutable types."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from domain.events import EventKind, FaceMatch, ImageEvent
from domain.users.user_labels import user_label

Embedding = npt.NDArray[np.float32]
Landmarks = tuple[float, float, float, float, float, float, float, float, float, float]


class EventKey(NamedTuple):
    """Names one result: an event, and the model that looked at it."""

    event_uuid: UUID
    model: str


class Outcome(StrEnum):
    """How an event ended. Every event that is not dead-lettered has exactly one.

    A dead-lettered upload also has one, for its caller; the outcome `failed` stays until a replay
    has another.
    """

    FACES = "faces"
    NO_FACE = "no_face"
    ENROLLED = "enrolled"
    REFUSED = "refused"
    SEARCHED = "searched"
    FAILED = "failed"
    #: An outcome that a later release has written; this release does not write it.
    OTHER = "other"


#: The ledger's short names for what an event asked.
KIND_NAMES = {EventKind.FRAME: "frame", EventKind.ENROL: "enrol", EventKind.SEARCH: "search"}


class FaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stored face.

    Attributes:
        match: the whole message on ``faces.matches``.
        index: its position among the faces of its event, from 0.
        landmarks: five points as x0, y0, ... y4 in pixels (see `domain.events.DetectedFace`).
        best_face_id: the face whose crop stands for this one, which has none; None: it has its own.
    """

    match: FaceMatch
    index: int
    landmarks: Landmarks
    best_face_id: UUID | None = None


class EventResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that one event came to; it is written as a whole or not at all.

    Attributes:
        event: the event.
        model: id of the embedder.
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        outcome: how it ended.
        face_count: how many faces were found, also where none is stored.
        faces: the faces to store.
        answer: the JSON that an upload's caller gets; None for frames.
        people: all users that an upload or its answer names, so that erasure finds it.
        dataref: the address of an upload's image that came by claim check.
        snapshot_key: S3 key of the whole frame, where it is kept.
    """

    event: ImageEvent
    model: str
    width: int
    height: int
    outcome: Outcome
    face_count: int
    faces: tuple[FaceRow, ...] = ()
    answer: bytes | None = None
    people: frozenset[UUID] = frozenset()
    dataref: str | None = None
    snapshot_key: str | None = None

    @property
    def key(self) -> EventKey:
        """What names this result in the ledger."""
        return EventKey(self.event.uuid, self.model)


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the ledger: an event that was processed, and its outcome.

    Attributes:
        event_uuid: `ImageEvent.uuid`.
        model: id of the embedder.
        kind: ``frame``, ``enrol`` or ``search``.
        source: ``ce_source``.
        id: ``ce_id``.
        key: camera id or upload id.
        captured_at: when the picture was taken.
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        face_count: how many faces were found.
        outcome: how it ended.
        answer: the JSON that an upload's caller gets; equal to what was given, though the
            database may order its members otherwise.
        announced_at: when the broker had acknowledged all its ``faces.matches`` messages; None
            when they may be missing and are to be sent (again).
        processed_at: when the line was written.
        seen_at: what counts instead of ``captured_at`` where that is not trusted.
    """

    event_uuid: UUID
    model: str
    kind: str
    source: str
    id: str
    key: str
    captured_at: datetime
    width: int
    height: int
    face_count: int
    outcome: Outcome
    answer: bytes | None
    announced_at: datetime | None
    processed_at: datetime
    seen_at: datetime | None = None

    @property
    def event_key(self) -> EventKey:
        """The name of this result in the ledger."""
        return EventKey(self.event_uuid, self.model)

    @property
    def announced(self) -> bool:
        """Whether all messages about this event are known to be out."""
        return self.announced_at is not None


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may be recognised."""

    id: UUID
    email: str | None
    full_name: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
    external_id: str | None = None

    @property
    def label(self) -> str:
        """The name; without one the address, the external id, or at last the id."""
        return user_label(self)


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """The embedding of a face that a camera saw.

    Attributes:
        face_id: the face.
        user_id: who it is; None when unknown.
        embedding: float32, shape (dimension,), length 1.
        captured_at: when the picture was taken.
    """

    face_id: UUID
    user_id: UUID | None
    embedding: Embedding
    captured_at: datetime


class EnrolStatus(StrEnum):
    """What became of a template that was to be enrolled."""

    ENROLLED = "enrolled"
    UNCHANGED = "unchanged"
    ERASED = "erased"
    #: The gallery has changed since the photo was compared with it.
    OUTDATED = "outdated"


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a person's gallery entry after an enrolment or removal.

    Attributes:
        status: newly enrolled; there already; or refused, because the person was erased.
        photos: how many photos the fused template is made of.
        revision: the gallery's revision that holds it; 0 when there is none.
    """

    status: EnrolStatus
    photos: int
    revision: int


class GalleryChange(NamedTuple):
    """One person's present template, for those who follow the gallery.

    ``embedding`` is float32 of shape (dimension,) and length 1, or None: out of the gallery.
    """

    revision: int
    user_id: UUID
    embedding: Embedding | None


class GalleryChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the gallery as of one moment.

    Attributes:
        revision: the revision of that moment, equal in all chunks: follow the changes from here.
        total: number of people in all chunks together.
        user_ids: N people.
        embeddings: float32, shape (N, dimension), rows of length 1.
    """

    revision: int
    total: int
    user_ids: list[UUID]
    embeddings: Embedding


class SimilarSighting(NamedTuple):
    """A sighting, and the cosine of its embedding to the given one."""

    face_id: UUID
    user_id: UUID | None
    captured_at: datetime
    similarity: float
