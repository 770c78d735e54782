"""The value of ``faces.detected``: MessagePack of `domain.events.DetectedFaces`.

Internal to Fecapass. Sender and receiver may have neighbouring releases; so fields are only added,
with default values.
"""

import msgspec

from domain.events import DetectedFaces, FaceMatch, ProcessedFrame
from domain.failures import Reject
from streams.contract.validation import require_valid

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DetectedFaces)
_json_encoder = msgspec.json.Encoder()
_json_decoder = msgspec.json.Decoder(FaceMatch)


def pack(faces: DetectedFaces) -> bytes:
    """Encode for ``faces.detected``."""
    return _encoder.encode(faces)


def unpack(value: bytes) -> DetectedFaces:
    """Decode a message of ``faces.detected`` and check its values.

    Raises:
        Reject: ``bad_encoding``, it is not a message that `pack` can encode; or a reason of
            `streams.contract.validation.require_valid`.
    """
    try:
        found = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        reason = f"not a message of faces.detected: {error!s:.200}"
        raise Reject("bad_encoding", reason) from error
    require_valid(found)
    return found


def match_to_json(match: FaceMatch) -> bytes:
    """Encode for ``faces.matches``."""
    return _json_encoder.encode(match)


def match_from_json(value: bytes) -> FaceMatch:
    """Decode a message of ``faces.matches``.

    Raises:
        msgspec.DecodeError: the value is not a match.
    """
    return _json_decoder.decode(value)


def processed_to_json(frame: ProcessedFrame) -> bytes:
    """Encode for ``frames.processed``."""
    return _json_encoder.encode(frame)
