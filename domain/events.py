"""The events of the pipeline, as types.

`ImageEvent` is what a frame or an upload says about itself, `DetectedFaces` what the detect agent
hands to the identify agent, `FaceMatch` what other programs read from ``faces.matches``.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from uuid import UUID, uuid5

import msgspec

from domain.liveness_result import Liveness

_SEPARATOR = "|"

#: Namespace of every identifier that Fecapass derives. Outside programs may derive them too:
#: ``face_id = UUIDv5(NAMESPACE, f"{ce_source}|{ce_id}|{model}|{index}")``.
#: The constant is UUIDv5 of the DNS namespace and the name "fecapass".
NAMESPACE = UUID("442503fb-e9c3-5faf-8b73-e0c0f5a4ab9a")


def event_uuid(source: str, event_id: str) -> UUID:
    """One identifier for source and id together, as the ledger keeps it."""
    return uuid5(NAMESPACE, _name(source, event_id))


def _name(source: str, event_id: str) -> str:
    """Source and id as one text that no other pair has.

    If one of them contains the separator, their lengths in characters come first.
    """
    if _SEPARATOR in source or _SEPARATOR in event_id:
        return f"|{len(source)}|{len(event_id)}|{source}|{event_id}"
    return f"{source}|{event_id}"


class EventKind(StrEnum):
    """What is asked of an image. The values are the ``ce_type`` attributes of the contract."""

    FRAME = "fecapass.frame.captured"
    ENROL = "fecapass.photo.enrol"
    SEARCH = "fecapass.photo.search"


class ImageEvent(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A frame or an upload: who sent it, when, and what is asked of it.

    Attributes:
        kind: frame, enrolment or search.
        source: ``ce_source``; with ``id`` it names the event once and for all.
        id: ``ce_id``.
        key: the Kafka key as text: the camera's id, or the upload's.
        captured_at: when the picture was taken, with time zone, as it was sent.
        subject: ``ce_subject``; of an enrolment, the id of the user.
        seen_at: what counts instead of ``captured_at`` where that is not trusted
            (`streams.contract.camera_clocks`).
        force: of an enrolment, whether the photo is enrolled though it resembles another user, or
            does not resemble the user's own photos (`domain.decisions.likeness`).
    """

    kind: EventKind
    source: str
    id: str
    key: str
    captured_at: datetime
    subject: str | None = None
    seen_at: datetime | None = None
    force: bool = False

    @property
    def at(self) -> datetime:
        """The time that counts: for order, for what is recent, and for rates."""
        return self.seen_at or self.captured_at

    @cached_property
    def uuid(self) -> UUID:
        """One identifier for source and id together, as the ledger keeps it."""
        return event_uuid(self.source, self.id)

    def face_id(self, model: str, index: int) -> UUID:
        """Identifier of the index-th face (from 0) that ``model`` found in this event."""
        return uuid5(NAMESPACE, f"{_name(self.source, self.id)}|{model}|{index}")


class DetectedFace(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One face in one image. Coordinates are pixels of the upright image.

    Attributes: box: x, y of the upper left corner, width, height. landmarks: right eye, left eye,
    nose tip, right and left corner of the mouth (the subject's own right and left), as x0, y0, ...
    y4. score: the detector's confidence, 0 to 1. quality: fitness for recognition, 0 to 1
    (`ml.recognition.face_quality`). embedding: float32, little endian, length 1. crop: JPEG of the
    face with some surroundings. measures: the values behind the quality, by name; set for uploads,
    whose answers contain them. reliable: whether the embedding says who it is: not of a face that
    is turned, or is none. track_id: of a camera's frame, the track that the face belongs to; None
    where faces are not tracked. best_face_id: the face of the same track whose crop stands for this
    one, where this one was not embedded: ``crop`` is empty, and ``embedding`` is the track's. None:
    the embedding and the crop are its own. liveness: whether a person is there; None where it is
    not checked. suspected: whether the gate of its camera refuses it, as a picture of a person: it
    is nobody's, and is not enrolled.
    other_embeddings: of a photo to enrol, and of a frame in shadow, the embeddings of the models
    that do not decide, by id; encoded as ``embedding`` is.
    weakest: the part of the quality that is worth least, by its name in
    `ml.recognition.face_quality`; set for uploads; empty: unknown.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[float, float, float, float, float, float, float, float, float, float]
    score: float
    quality: float
    embedding: bytes
    crop: bytes
    measures: dict[str, float] = {}
    reliable: bool = True
    track_id: UUID | None = None
    best_face_id: UUID | None = None
    liveness: Liveness | None = None
    suspected: bool = False
    other_embeddings: dict[str, bytes] = {}
    weakest: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why an upload is not used: a stable code for programs and a sentence for people.

    Attributes:
        code: stable, for programs.
        message: for people.
        measures: what was measured.
        given_up: it is unknown whether the photo is at fault; a replay may have another result.
    """

    code: str
    message: str
    measures: dict[str, float] = {}
    given_up: bool = False


class DetectedFaces(msgspec.Struct, frozen=True, kw_only=True):
    """All faces of one event, in the detector's order: best score first.

    Attributes:
        event: the event that the image came with.
        model: id of the embedder; embeddings of different models never meet.
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        faces: what was found; may be empty.
        refusal: set instead of faces when an upload's image could not be read at all.
        policy: of an upload, the rules that the detect worker went by; equal texts, equal rules.
        dataref: of an upload that came by claim check, the address of its image.
        snapshot: of a frame that may show a visit best, the whole picture as JPEG, upright and
            without metadata; empty: the frame has none.
        in_shadow: of a frame, whether the models that do not decide have embedded the faces, too,
            as far as they are loaded (`domain.decisions.shadow_frames`).
    """

    event: ImageEvent
    model: str
    width: int
    height: int
    faces: tuple[DetectedFace, ...]
    refusal: Refusal | None = None
    policy: str = ""
    dataref: str | None = None
    snapshot: bytes = b""
    in_shadow: bool = False


class MatchType(StrEnum):
    """The ``ce_type`` attributes of ``faces.matches``."""

    MATCHED = "fecapass.face.matched"
    UNKNOWN = "fecapass.face.unknown"


class MatchKind(StrEnum):
    """What kind of image a face was found in; enrolled faces are stored and not announced.

    A photo that was enrolled and is taken out has the kind `REMOVED` for as long as that can be
    undone.
    """

    FRAME = "frame"
    SEARCH = "search"
    ENROLLED = "enrolled"
    REMOVED = "removed"


#: The kinds of faces that were enrolled; others are sightings, or probes.
PHOTO_KINDS = frozenset({MatchKind.ENROLLED, MatchKind.REMOVED})


class FaceMatch(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ``faces.matches``: a face, and who it is.

    Attributes:
        face_id: the face, also the message's ``ce_id`` unless it was corrected.
        event_id: ``ce_id`` of the frame or upload.
        camera_id: Kafka key of the frame or upload.
        captured_at: when the picture was taken, as it was sent.
        box: x, y, width, height in pixels of the upright image.
        score: the detector's confidence, 0 to 1.
        quality: fitness for recognition, 0 to 1.
        user_id: who it is; None when unknown.
        similarity: cosine of the best candidate; None when the gallery is empty.
        runner_up_similarity: cosine of the best candidate but one; None when there is none.
        model: id of the embedder.
        crop_key: S3 key of the crop; None for a search probe, which is not stored, and for a face
            whose crop is gone.
        seen_at: what counts instead of ``captured_at`` where that is not trusted.
        kind: what kind of image it is; None in messages of releases that did not say so.
        decision: why it is this user, or no user; read a value that you do not know as unknown.
            None for a face that was stored before there were decisions.
        track_id: the track of the face; faces of one camera with the same track are one person.
            None where faces are not tracked.
        fresh: whether the embedding was computed from this face; False where the face was followed
            from an earlier frame, and has the embedding of its track.
        candidate_id: of an unknown face, the best candidate: the user whose cosine ``similarity``
            is. None of a known face, of an empty gallery, and where that user was erased.
        liveness: whether a person is there; not in the message where it is not checked.
        correction_id: the last correction of the face; not in the message where no person has
            corrected it.
        supersedes: of a corrected face, the ``ce_id`` of the message that this one replaces; else
            not in the message.
    """

    face_id: UUID
    event_id: str
    camera_id: str
    captured_at: datetime
    box: tuple[float, float, float, float]
    score: float
    quality: float
    user_id: UUID | None
    similarity: float | None
    runner_up_similarity: float | None
    model: str
    crop_key: str | None
    seen_at: datetime | None = None
    kind: str | None = None
    decision: str | None = None
    track_id: UUID | None = None
    fresh: bool = True
    candidate_id: UUID | None = None
    liveness: Liveness | msgspec.UnsetType = msgspec.UNSET
    correction_id: UUID | msgspec.UnsetType = msgspec.UNSET
    supersedes: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def at(self) -> datetime:
        """The time that counts: for order, for what is recent, and for rates."""
        return self.seen_at or self.captured_at

    @property
    def name(self) -> str:
        """The message's ``ce_id``: the face, and its last correction if there is one."""
        return match_name(self.face_id, self.correction_id or None)

    @property
    def is_of_a_frame(self) -> bool:
        """Whether a camera saw the face; without a kind, a crop shows that it is a frame."""
        if self.kind is None:
            return self.crop_key is not None
        return self.kind == MatchKind.FRAME

    @property
    def type(self) -> MatchType:
        """Matched when there is a user, unknown otherwise."""
        return MatchType.UNKNOWN if self.user_id is None else MatchType.MATCHED


class ProcessedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ``frames.processed``: a frame whose faces, if it has any, are stored.

    Attributes:
        event_id: ``ce_id`` of the frame.
        camera_id: Kafka key of the frame.
        captured_at: when the picture was taken, as it was sent.
        faces: how many faces were found.
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        processed_at: when the result was stored.
    """

    event_id: str
    camera_id: str
    captured_at: datetime
    faces: int
    width: int
    height: int
    processed_at: datetime


def match_name(face_id: UUID, correction_id: UUID | None) -> str:
    """The ``ce_id`` of a message of ``faces.matches``; each correction has one of its own."""
    return str(face_id) if correction_id is None else f"{face_id}/{correction_id}"


def standing_decision(decision: str | None, user_id: UUID | None) -> str | None:
    """The decision that counts now: a match with a user who was erased later is no match."""
    return "below_threshold" if decision == "matched" and user_id is None else decision


def utc_now() -> datetime:
    """The present moment with its time zone, as all events carry it."""
    return datetime.now(UTC)
