"""Checks the values in a message of detections; the codec checks only their types.

For example, a NaN or an embedding of length 0 must not reach a calculation, a store or a gallery:
one such message would make its whole batch fail.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from math import isfinite

import numpy as np

from domain.events import DetectedFace, DetectedFaces, EventKind, ImageEvent, Refusal
from domain.failures import Reject
from domain.liveness_result import Liveness
from domain.refusals.unreadable_uploads import MAX_MESSAGE_CHARACTERS
from streams.contract.envelope import identifier

MAX_SIDE = 1_000_000
MAX_FACES = 10_000
MAX_DIMENSION = 4000
MAX_CROP_BYTES = 1024 * 1024
MAX_SNAPSHOT_BYTES = 2 * 1024 * 1024
MAX_MEASURES = 32
MAX_MODELS = 16

# A detector may place a box partly outside the picture, but not far.
_FARTHEST = 10 * MAX_SIDE
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Tolerance for rounding: of scores, which are products, and of lengths of float32 vectors.
_ROUNDING = 1e-3
_JPEG = b"\xff\xd8\xff"


def require_valid(found: DetectedFaces) -> None:
    """Check a message; return if it is valid.

    Raises:
        Reject: ``bad_detection``, ``bad_embedding`` or ``bad_crop``, with what is wrong.
    """
    _require_event(found.event)
    if not _MODEL.fullmatch(found.model):
        raise Reject("bad_detection", f"invalid name of a model: {found.model!r:.80}")
    if not (0 <= found.width <= MAX_SIDE and 0 <= found.height <= MAX_SIDE):
        raise Reject("bad_detection", f"invalid image size {found.width}x{found.height}")
    if len(found.faces) > MAX_FACES:
        raise Reject("bad_detection", f"{len(found.faces)} faces, at most {MAX_FACES} allowed")
    for face in found.faces:
        _require_face(face)
        if found.event.kind is not EventKind.FRAME and (face.track_id or face.best_face_id):
            raise Reject("bad_detection", "a photo has a face of a track")
        if face.other_embeddings and (face.best_face_id or not _has_others(found)):
            raise Reject("bad_embedding", "embeddings of other models where there can be none")
    if len({len(face.embedding) for face in found.faces}) > 1:
        raise Reject("bad_embedding", "the embeddings of one message differ in dimension")
    _require_snapshot(found)
    if found.refusal is not None:
        _require_refusal(found.refusal)


def _has_others(found: DetectedFaces) -> bool:
    kind = found.event.kind
    return kind is EventKind.ENROL or (kind is EventKind.FRAME and found.in_shadow)


def _require_event(event: ImageEvent) -> None:
    named = {"source": event.source, "id": event.id, "key": event.key}
    for name, text in named.items():
        if not identifier(text, f"the event's {name}", "bad_detection"):
            raise Reject("bad_detection", f"the event has no {name}")
    if event.subject is not None:
        identifier(event.subject, "the event's subject", "bad_detection")
    for moment in (event.captured_at, event.at):
        if moment.tzinfo is None:
            raise Reject("bad_detection", "a time has no time zone")
        try:
            moment.astimezone(UTC)
        except OverflowError:
            raise Reject("bad_detection", "a time is out of range") from None


def _require_snapshot(found: DetectedFaces) -> None:
    snapshot = found.snapshot
    if not snapshot:
        return
    if found.event.kind is not EventKind.FRAME or not found.faces:
        raise Reject("bad_crop", "a photo, or a frame without faces, has a snapshot")
    if not snapshot.startswith(_JPEG) or len(snapshot) > MAX_SNAPSHOT_BYTES:
        raise Reject("bad_crop", f"a snapshot of {len(snapshot)} bytes is not JPEG, or too large")


def _require_face(face: DetectedFace) -> None:
    if not _in_range((*face.box, *face.landmarks)) or min(face.box[2:]) <= 0:
        raise Reject("bad_detection", "a box or landmark has invalid coordinates")
    for share in (face.score, face.quality):
        if not -_ROUNDING <= share <= 1 + _ROUNDING:
            raise Reject("bad_detection", f"a score or quality of {share}, expected 0 to 1")
    if face.liveness is not None:
        require_liveness(face.liveness, "bad_detection")
    _require_measures(face.measures)
    _require_embedding(face.embedding)
    _require_others(face.other_embeddings)
    if face.best_face_id is not None:
        if face.crop:
            raise Reject("bad_crop", "a face with a best face has a crop of its own")
        if face.measures:
            raise Reject("bad_detection", "a face with a best face has measures")
    elif not face.crop.startswith(_JPEG) or len(face.crop) > MAX_CROP_BYTES:
        raise Reject("bad_crop", f"a crop of {len(face.crop)} bytes is not JPEG, or too large")


def require_liveness(liveness: Liveness, code: str) -> None:
    """Check a result; return if it is valid.

    Args:
        liveness: the result.
        code: of the refusal.

    Raises:
        Reject: with what is wrong.
    """
    if not _CODE.fullmatch(liveness.status):
        raise Reject(code, f"invalid status of liveness: {liveness.status!r:.80}")
    if liveness.model is not None and not _MODEL.fullmatch(liveness.model):
        raise Reject(code, f"invalid name of a liveness model: {liveness.model!r:.80}")
    if liveness.score is not None and not 0.0 <= liveness.score <= 1.0:
        raise Reject(code, f"a liveness score of {liveness.score}, expected 0 to 1")


def _require_others(embeddings: Mapping[str, bytes]) -> None:
    """Check the embeddings of other models."""
    if len(embeddings) > MAX_MODELS or not all(map(_MODEL.fullmatch, embeddings)):
        raise Reject("bad_embedding", "too many other models, or one with an invalid name")
    for embedding in embeddings.values():
        _require_embedding(embedding)


def _require_embedding(embedding: bytes) -> None:
    dimension, rest = divmod(len(embedding), 4)
    if rest or not 1 <= dimension <= MAX_DIMENSION:
        raise Reject("bad_embedding", f"{len(embedding)} bytes are not an embedding")
    # A comparison with NaN is false, and an infinite length is too long.
    with np.errstate(invalid="ignore"):
        length = float(np.linalg.norm(np.frombuffer(embedding, "<f4").astype(np.float64)))
    if not abs(length - 1) <= _ROUNDING:
        raise Reject("bad_embedding", f"an embedding has length {length:g}, expected 1")


def _require_refusal(refusal: Refusal) -> None:
    if not _CODE.fullmatch(refusal.code) or len(refusal.message) > MAX_MESSAGE_CHARACTERS:
        raise Reject("bad_detection", f"invalid refusal: {refusal.code!r:.80}")
    if "\x00" in refusal.message:
        raise Reject("bad_detection", "a refusal's message contains a control character")
    _require_measures(refusal.measures)


def _require_measures(measures: Mapping[str, float]) -> None:
    if len(measures) > MAX_MEASURES or not all(map(_CODE.fullmatch, measures)):
        raise Reject("bad_detection", "too many measures, or invalid names of measures")
    if not all(map(isfinite, measures.values())):
        raise Reject("bad_detection", "a measure is not a finite number")


def _in_range(numbers: Iterable[float]) -> bool:
    return all(abs(number) <= _FARTHEST for number in numbers)
