"""The value of ``workers.models``: JSON of `domain.decisions.model_change.ModelsNow`.

Internal to Fecapass.
"""

import msgspec

from domain.decisions.model_change import ModelsNow

#: All messages go to one partition, so that they are in order.
MODELS_PARTITION = 0

#: Larger messages are not ours.
MAX_BYTES = 256 * 1024

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ModelsNow)


def encode_models(models: ModelsNow) -> bytes:
    """As JSON."""
    return _encoder.encode(models)


def decode_models(value: bytes | None) -> ModelsNow | None:
    """From JSON; None if it is not a message that this release can read."""
    if not value or len(value) > MAX_BYTES:
        return None
    try:
        models = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    known = models.serving is None or models.serving in models.embedders
    return models if known and models.as_of.tzinfo is not None else None
