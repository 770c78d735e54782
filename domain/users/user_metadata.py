"""The keys that an application keeps with a user: a small flat JSON object.

The bounds keep a page of users small, and let every client read every value: an integer beyond
2^53 is another one in JavaScript (RFC 8259, section 6).
"""

import math
import unicodedata
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

MAX_KEYS: Final = 32
MAX_KEY_CHARACTERS: Final = 64
MAX_TEXT_CHARACTERS: Final = 500
MAX_INTEGER: Final = 2**53 - 1

#: Of the whole object as JSON in UTF-8.
MAX_BYTES: Final = 8192

Value: TypeAlias = str | int | float | bool


class BadMetadataError(ValueError):
    """Metadata that is refused; the message says why, for people, and repeats no value."""


def checked_metadata(metadata: Mapping[str, object]) -> dict[str, Value]:
    """Metadata as it is stored.

    Raises:
        BadMetadataError: a key or value is none, or there are too many or too long ones.
    """
    checked = {_key(key): _value(key, value) for key, value in metadata.items()}
    if len(checked) > MAX_KEYS:
        raise BadMetadataError(f"at most {MAX_KEYS} keys are kept")
    if len(msgspec.json.encode(checked)) > MAX_BYTES:
        raise BadMetadataError(f"it is more than {MAX_BYTES} bytes as JSON")
    return checked


def merged_metadata(
    stored: Mapping[str, object], changes: Mapping[str, object]
) -> dict[str, Value]:
    """Metadata after a change: a key of the changes replaces the stored one, null removes it.

    That is a JSON merge patch (RFC 7396) of a flat object, so that two applications that keep
    different keys do not undo each other's changes.

    Raises:
        BadMetadataError: as `checked_metadata`, for the result.
    """
    merged = {**stored, **changes}
    return checked_metadata({key: value for key, value in merged.items() if value is not None})


def _key(key: str) -> str:
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        raise BadMetadataError(f"a key has 1 to {MAX_KEY_CHARACTERS} characters")
    if not _is_plain(key):
        raise BadMetadataError("a key has characters that cannot be stored")
    return key


def _value(key: str, value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARACTERS:
            raise BadMetadataError(f"a text has at most {MAX_TEXT_CHARACTERS} characters")
        if not _is_plain(value):
            raise BadMetadataError("a text has characters that cannot be stored")
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise BadMetadataError("an integer is beyond 2^53, where clients read another one")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadMetadataError(f"{key!r} is neither a text, nor a number, nor true or false")


def _is_plain(text: str) -> bool:
    """Without control characters and lone surrogates: Postgres stores neither NUL nor these."""
    return all(unicodedata.category(one) not in {"Cc", "Cs"} for one in text)
