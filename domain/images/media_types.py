"""Pictures that the pipeline accepts: JPEG, PNG or WebP bytes, recognised by their signature."""

#: The number of first bytes that determine a file's type.
SIGNATURE_BYTES = 12

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}

#: Every extension that `extension` may give.
EXTENSIONS = frozenset(_EXTENSIONS.values())


def media_type(data: bytes) -> str | None:
    """Media type according to the first bytes; None when it is not JPEG, PNG or WebP.

    Sources: JPEG (ISO 10918-1, SOI marker), PNG (RFC 2083, section 3.1), WebP (RFC 9649).
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def extension(kind: str) -> str:
    """File name extension, without a dot, of a media type that `media_type` returns."""
    return _EXTENSIONS[kind]
