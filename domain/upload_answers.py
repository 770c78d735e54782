"""The answer to an upload: what a caller who enrols or searches by photo gets back."""

from typing import Literal, get_args
from uuid import UUID

import msgspec

Status = Literal["enrolled", "refused", "searched", "failed"]


class RankedCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolled user who resembles the probe.

    Attributes:
        user_id: the user.
        similarity: the cosine.
        vetoed: whether a person has said of a face that is as close that it is not this user.
    """

    user_id: UUID
    similarity: float
    vetoed: bool = False


class SearchedFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face of a searched photo, and who it may be.

    Attributes:
        face_id: identifier of the face; a probe is not stored under it.
        box: x, y, width, height in pixels of the upright image.
        score: the detector's confidence, 0 to 1.
        quality: fitness for recognition, 0 to 1.
        decision: ``matched``, ``below_threshold``, ``ambiguous``, ``empty_gallery``,
            ``unreliable`` or ``vetoed``.
        user_id: who it is; None unless matched.
        candidates: best first.
    """

    face_id: UUID
    box: tuple[float, float, float, float]
    score: float
    quality: float
    decision: str
    user_id: UUID | None
    candidates: tuple[RankedCandidate, ...]


class UploadAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an upload.

    Attributes:
        upload_id: Kafka key of the upload.
        status: what happened.
        model: id of the embedder.
        code: of a refusal, a stable code: ``no_face``, ``several_faces``, ``unreliable_face``,
            ``poor_quality``, ``looks_like_another_user``, ``unlike_own_photos``,
            ``unknown_user``, or the reason for which the image could not be
            read; of a failure, the reason of its dead letter.
        message: of a refusal or failure, a sentence for people; of an enrolment, what is to be
            known of it, as faces that were ignored.
        measures: of a refusal, the values that led to it; of an enrolment, what was measured.
        user_id: of an enrolment, the person.
        face_id: of an enrolment, the stored face.
        policy: of a refusal, the rules that decided; other rules may decide otherwise.
        photos: of an enrolment, how many photos the person's template now holds.
        weight: of an enrolment, how much the photo counts in the template, 0 to 1.
        ignored_faces: of an enrolment, how many other faces the photo shows.
        another: of the refusal ``looks_like_another_user``, whom it resembles.
        similarity: of a refusal by likeness, the cosine that decided.
        threshold: of a search, the similarity from which on a candidate may match.
        margin: of a search, the lead that the best candidate needs over the next.
        faces: of a search, every face in the photo.
    """

    upload_id: str
    status: Status
    model: str
    code: str | None = None
    message: str | None = None
    measures: dict[str, float] = {}
    policy: str | None = None
    user_id: UUID | None = None
    face_id: UUID | None = None
    photos: int | None = None
    weight: float | None = None
    ignored_faces: int = 0
    another: RankedCandidate | None = None
    similarity: float | None = None
    threshold: float | None = None
    margin: float | None = None
    faces: tuple[SearchedFace, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(UploadAnswer)


class _Stated(msgspec.Struct, frozen=True):
    status: str


_stated_decoder = msgspec.json.Decoder(_Stated)
_KNOWN = frozenset(get_args(Status))


def encode_answer(answer: UploadAnswer) -> bytes:
    """As JSON."""
    return _encoder.encode(answer)


def decode_answer(value: bytes) -> UploadAnswer | None:
    """From JSON; None when it has a status that only a later release knows.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    if _stated_decoder.decode(value).status not in _KNOWN:
        return None
    return _decoder.decode(value)
