"""A visit while it goes on: what is known of it from its faces. Immutable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from domain.decisions.matching import Decision
from domain.decisions.visits.visit_liveness import NOTHING_KNOWN, Presence
from domain.store_rows import Embedding
from domain.visit_events import FramePosition, VisitFace, VisitReason

#: The identity of a visit comes from its best embeddings, so many at most.
BEST = 10

#: Below this quality an embedding does not tell people apart (`ml.tracking.seen_faces.EVIDENCE`).
EVIDENCE = 0.35

#: The least weight of an embedding in the mean, which is weighted by quality.
_LEAST_WEIGHT = 0.05


class BestFace(NamedTuple):
    """One of the best faces of a visit."""

    face_id: UUID
    quality: float
    reliable: bool


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Faces in a row that match another user than the visit's.

    Attributes:
        user_id: the other user.
        faces: these faces, and others of their tracks.
        embeddings: how many of them matched the user by an embedding of their own.
        seen_at: time of the last face of the visit that is none of them.
    """

    user_id: UUID
    faces: tuple[VisitFace, ...]
    embeddings: int
    seen_at: datetime


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """One person's stay at a camera, so far.

    Attributes:
        id: `domain.visit_events.first_visit_id` of its first face.
        started_at: time of the first face.
        last_seen_at: time of the last face.
        faces: number of its faces.
        model: id of the embedder of its best faces.
        tracks: its tracks, the latest last.
        best: faces with the embeddings that its identity comes from, best first.
        shown: the face whose crop shows it.
        user_id: who it is, once confirmed.
        similarity: of the mean embedding and the template, when last compared.
        named: whom the mean embedding matched last, confirmed or not.
        embeddings: how many reliable faces had an embedding of their own.
        own: how many of these matched each user by themselves.
        track_users: the same by track.
        rival: faces in a row that matched another user.
        held: how often in a row the mean embedding matched ``named``, who is not the user.
        apart: stays that are other people, because they were in one frame with this one.
        closed: why it ended, if not by silence.
        continues: the stay that reached the maximum length before this one.
        presence: whether a person is there.
    """

    id: UUID
    started_at: datetime
    last_seen_at: datetime
    faces: int = 0
    model: str = ""
    tracks: tuple[UUID, ...] = ()
    best: tuple[BestFace, ...] = ()
    shown: BestFace | None = None
    user_id: UUID | None = None
    similarity: float | None = None
    named: UUID | None = None
    embeddings: int = 0
    own: dict[UUID, int] = {}
    track_users: dict[UUID, dict[UUID, int]] = {}
    rival: Rival | None = None
    held: int = 0
    apart: tuple[UUID, ...] = ()
    closed: VisitReason | None = None
    continues: UUID | None = None
    presence: Presence = NOTHING_KNOWN


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """The stays at a camera after a frame, in order of their beginning.

    Attributes:
        stays: those that go on, or could be continued.
        frame: the frame; None before the first.
    """

    stays: tuple[Stay, ...] = ()
    frame: FramePosition | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the stores know: the decisions are pure functions of it.

    Attributes:
        embeddings: of faces that have one, float32 of length 1.
        decide: who the person with an embedding of a model is, by the gallery.
    """

    embeddings: Mapping[UUID, Embedding]
    decide: Callable[[str, Embedding], Decision]


def ranked(faces: list[BestFace]) -> tuple[BestFace, ...]:
    """The best of these faces, best first; the order in which they came does not count."""
    return tuple(sorted(faces, key=lambda one: (-one.quality, one.face_id))[:BEST])


def better(one: BestFace | None, other: BestFace | None) -> BestFace | None:
    """The one of two faces that shows a person better."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda face: (face.reliable, face.quality, face.face_id))


def mean_embedding(stay: Stay, lookup: Lookup) -> Embedding | None:
    """The mean of the best embeddings, weighted by quality, of length 1; None without any."""
    found = [
        (max(face.quality, _LEAST_WEIGHT), lookup.embeddings[face.face_id])
        for face in stay.best
        if face.face_id in lookup.embeddings
    ]
    if not found:
        return None
    mean = np.sum([weight * vector for weight, vector in found], axis=0, dtype=np.float32)
    length = float(np.linalg.norm(mean))
    return None if length == 0.0 else np.asarray(mean / length, np.float32)


def is_poor(stay: Stay) -> bool:
    """Whether nothing that is known of a stay says whose it is, as of blurred faces."""
    rated = [one.quality for one in (*stay.best, stay.shown) if one is not None]
    return stay.user_id is None and bool(rated) and max(rated) < EVIDENCE
