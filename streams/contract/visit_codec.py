"""What the visits agent reads from ``faces.matches``, and the value of ``faces.visits``.

Other agents read visits.

Both are JSON that other programs read, and that other programs may send: a match with a time
without a time zone, for example, must not reach a comparison of times.
"""

import re
from datetime import UTC

import msgspec

from domain.decisions.matching import SPOOF_SUSPECTED
from domain.events import FaceMatch
from domain.failures import Reject
from domain.visit_events import Visit, VisitFace
from streams.contract.envelope import identifier
from streams.contract.validation import require_liveness
from streams.contract.value_codec import match_from_json

_UNRELIABLE = "unreliable"
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}")
# Tolerance for rounding: of qualities, which are products, and of cosines of float32 vectors.
_ROUNDING = 2e-3
#: Years in which times can be added to and subtracted from.
_FIRST_YEAR, _LAST_YEAR = 2, 9998

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Visit)


def read_match(value: bytes) -> FaceMatch:
    """Decode a message of ``faces.matches`` and check the values that a visit is made of.

    Raises:
        Reject: ``bad_encoding``, it is not a match; or ``bad_match``, with what is wrong.
    """
    try:
        match = match_from_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        reason = f"not a message of faces.matches: {error!s:.200}"
        raise Reject("bad_encoding", reason) from error
    for name, text in (("camera", match.camera_id), ("event", match.event_id)):
        if not identifier(text, f"the {name}'s id", "bad_match"):
            raise Reject("bad_match", f"the {name} has no id")
    if not _MODEL.fullmatch(match.model):
        raise Reject("bad_match", f"invalid name of a model: {match.model!r:.80}")
    if match.at.tzinfo is None:
        raise Reject("bad_match", "a time has no time zone")
    if not _FIRST_YEAR <= match.at.year <= _LAST_YEAR:
        raise Reject("bad_match", "a time is out of range")
    if not -_ROUNDING <= match.quality <= 1 + _ROUNDING:
        raise Reject("bad_match", f"a quality of {match.quality}, expected 0 to 1")
    if match.similarity is not None and not abs(match.similarity) <= 1 + _ROUNDING:
        raise Reject("bad_match", f"a similarity of {match.similarity}, expected -1 to 1")
    if match.liveness:
        require_liveness(match.liveness, "bad_match")
    return match


def face_of(match: FaceMatch) -> VisitFace | None:
    """The face of a match, as visits are made of it; None for a face that no camera saw.

    What a person has corrected is stored already: it is no face more.
    """
    if not match.is_of_a_frame or match.correction_id:
        return None
    return VisitFace(
        face_id=match.face_id,
        event_id=match.event_id,
        at=match.at.astimezone(UTC),
        quality=match.quality,
        model=match.model,
        user_id=match.user_id,
        similarity=match.similarity,
        track_id=match.track_id,
        fresh=match.fresh,
        reliable=match.decision != _UNRELIABLE,
        has_crop=match.fresh and match.crop_key is not None,
        suspected=match.decision == SPOOF_SUSPECTED,
        liveness=match.liveness or None,
    )


def visit_to_json(visit: Visit) -> bytes:
    """Encode for ``faces.visits``; the time of the announcement is Fecapass's own business."""
    fields = msgspec.structs.asdict(visit)
    del fields["announced_at"]
    return _encoder.encode(fields)


def read_visit(value: bytes) -> Visit:
    """Decode a message of ``faces.visits`` and check the values that are compared.

    Raises:
        Reject: ``bad_encoding``, it is not a visit; or ``bad_visit``, with what is wrong.
    """
    try:
        visit = visit_from_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        reason = f"not a message of faces.visits: {error!s:.200}"
        raise Reject("bad_encoding", reason) from error
    if not identifier(visit.camera_id, "the camera's id", "bad_visit"):
        raise Reject("bad_visit", "the camera has no id")
    for time in (visit.started_at, visit.last_seen_at):
        if time.tzinfo is None:
            raise Reject("bad_visit", "a time has no time zone")
        if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise Reject("bad_visit", "a time is out of range")
    if visit.liveness is not None:
        require_liveness(visit.liveness, "bad_visit")
    return visit


def visit_from_json(value: bytes) -> Visit:
    """Decode a message of ``faces.visits``.

    Raises:
        msgspec.DecodeError: the value is not a visit.
    """
    return _decoder.decode(value)
