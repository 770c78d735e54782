"""The column ``liveness`` of faces and visits: `domain.liveness_result.Liveness` as JSON."""

from typing import Any

import msgspec

from domain.liveness_result import Liveness

_decode = msgspec.json.Decoder(Liveness).decode


def from_text(text: str | None) -> Liveness | None:
    """The value as asyncpg gives it."""
    return None if text is None else _decode(text)


def from_fields(fields: Any | None) -> Liveness | None:
    """The value as SQLAlchemy gives it."""
    return None if fields is None else msgspec.convert(fields, Liveness)
