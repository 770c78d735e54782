"""PNG and WebP, made of chunks: what the decoder is given of them.

Sources: W3C PNG specification, section 5; RFC 9649 (WebP), sections 2.3 to 2.7.
"""

import struct
import zlib
from collections.abc import Iterator

from domain.images.image_errors import ImageRejected
from domain.images.image_headers import PNG_SIGNATURE

#: More chunks than this make no picture: encoders write a few dozen, at most thousands.
MAX_CHUNKS = 20_000

_PNG_ONCE = frozenset({b"IHDR", b"PLTE"})
_PNG_READ = _PNG_ONCE | {b"IDAT", b"eXIf"}
# Where IHDR has the colour type, and that of numbers into a palette.
_PNG_COLOUR, _PNG_INDEXED = 9, b"\x03"
_PNG_HEAD_BYTES, _PNG_FRAME_BYTES = 8, 12

_WEBP_HEAD_BYTES = 8
_WEBP_CANVAS_BYTES = 10
_WEBP_PICTURES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_WEBP_ANIMATED, _WEBP_HAS_EXIF = 0x02, 0x08
_EXIF_PREFIX = b"Exif\x00\x00"


def plain_png(data: bytes) -> tuple[bytes, bytes]:
    """The PNG's picture without all else, and its EXIF data.

    All else goes unread: texts and colour profiles may inflate to a thousand times their size, once
    for each (measured: 500 iTXt chunks in 4 MB, 55 s), and the frames of an animation cost memory
    and are not looked at.

    Returns:
        A PNG with its end, and the TIFF structure of its EXIF data, empty where it has none.

    Raises:
        ImageRejected: ``too_complex``, when it has too many chunks; ``corrupt``, when one is
            damaged.
    """
    kept, header, exif, once = [PNG_SIGNATURE], b"", b"", set(_PNG_ONCE)
    for kind, content in png_chunks(data):
        if kind == b"eXIf":
            exif = exif or content
        elif kind == b"IDAT" or kind in once:
            once.discard(kind)
            kept.append(_png_chunk(kind, content))
            header = header or content
    if header[_PNG_COLOUR : _PNG_COLOUR + 1] == _PNG_INDEXED and b"PLTE" in once:
        raise ImageRejected("corrupt", "the PNG lacks its palette")
    kept.append(_png_chunk(b"IEND", b""))
    return b"".join(kept), exif


def plain_webp(data: bytes) -> tuple[bytes, bytes]:
    """The WebP's picture, or the first of its animation, without all else; and its EXIF data.

    Returns:
        A WebP, and the TIFF structure of its EXIF data, empty where it has none. Many writers put
        a prefix before it that belongs to JPEG; it is taken away.

    Raises:
        ImageRejected: ``too_complex``, when it has too many chunks; ``corrupt``, when it ends
            before the end of its picture, or of the data that say how to turn it.
    """
    kept: list[bytes] = []
    exif, exif_to_come, pictured = b"", False, False
    for kind, content, whole in _webp_chunks(data):
        if kind == b"EXIF" and whole:
            exif = exif or content.removeprefix(_EXIF_PREFIX)
            exif_to_come = False
        elif kind == b"VP8X" and not kept:
            if len(content) < _WEBP_CANVAS_BYTES:
                raise ImageRejected("corrupt", "the WebP has no canvas")
            flags = bytes([content[0] & _WEBP_ANIMATED])
            kept.append(_webp_chunk(kind, flags + content[1:_WEBP_CANVAS_BYTES]))
            exif_to_come = bool(content[0] & _WEBP_HAS_EXIF)
        elif kind == b"ANIM" and not pictured:
            kept.append(_webp_chunk(kind, content))
        elif kind in _WEBP_PICTURES and not pictured:
            if not whole:
                raise ImageRejected("corrupt", "the WebP ends inside its picture")
            kept.append(_webp_chunk(kind, content))
            pictured = True
    # A tool that took the orientation away and left its flag wrote the file to its end.
    if not pictured or (exif_to_come and len(data) < _webp_size(data)):
        raise ImageRejected("corrupt", "the WebP is cut short")
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body, exif


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each whole chunk that is read, up to IEND."""
    position, count = len(PNG_SIGNATURE), 0
    while position + _PNG_FRAME_BYTES <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        start = position + _PNG_HEAD_BYTES
        kind, end = data[start - 4 : start], start + size
        position += _PNG_FRAME_BYTES + size
        if kind == b"IEND" or position > len(data):
            return
        count = _counted(count)
        if kind in _PNG_READ:
            content = data[start:end]
            if data[end:position] != _png_check(kind, content):
                raise ImageRejected("corrupt", "a checksum of the PNG is wrong")
            yield kind, content


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + _png_check(kind, content)


def _png_check(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind and content of each chunk, and whether all of it is there."""
    position, count = 12, 0
    while position + _WEBP_HEAD_BYTES <= len(data):
        (size,) = struct.unpack_from("<I", data, position + 4)
        start = position + _WEBP_HEAD_BYTES
        count = _counted(count)
        yield data[position : position + 4], data[start : start + size], start + size <= len(data)
        position = start + size + (size & 1)


def _webp_size(data: bytes) -> int:
    """How long the file says it is."""
    (size,) = struct.unpack_from("<I", data, 4)
    return int(size) + _WEBP_HEAD_BYTES


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


def _counted(count: int) -> int:
    if count >= MAX_CHUNKS:
        raise ImageRejected("too_complex", f"the image has more than {MAX_CHUNKS} chunks")
    return count + 1
