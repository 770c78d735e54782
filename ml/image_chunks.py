"""PNG and WebP, made of chunks: what the decoder is given of them.

Sources: W3C PNG specification, section 5; RFC 9649 (WebP), section 2.3.
"""

import struct
from collections.abc import Iterator

from ml.errors import ImageRejected
from ml.image_headers import PNG_SIGNATURE

#: More chunks than this make no picture: encoders write a few dozen, at most thousands.
MAX_CHUNKS = 20_000

# What pixels and orientation are made of. All else goes: texts and colour profiles may inflate to
# a thousand times their size, once for each (measured: 500 iTXt chunks in 4 MB, 55 s), and the
# frames of an animation cost memory and are not looked at.
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"})
_PNG_FRAME_BYTES = 12
_WEBP_FRAME_BYTES = 8

_EXIF_PREFIX = b"Exif\x00\x00"


def plain_png(data: bytes) -> bytes:
    """The PNG's picture and its orientation, without all else.

    Raises:
        ImageRejected: ``too_complex``, when it has too many chunks; ``corrupt``, when one is
            longer than the data.
    """
    kept, start, dropped = [PNG_SIGNATURE], len(PNG_SIGNATURE), False
    for kind, end in _png_chunks(data):
        if kind in _PNG_KEPT:
            kept.append(data[start:end])
        else:
            dropped = True
        start = end
    return b"".join(kept) if dropped else data


def plain_webp(data: bytes) -> bytes:
    """The WebP with its EXIF data as RFC 9649 has it.

    Many writers put a prefix before the data. It belongs to JPEG; OpenCV then finds no orientation.

    Raises:
        ImageRejected: ``too_complex``, when it has too many chunks.
    """
    for kind, position, size in _webp_chunks(data):
        start = position + _WEBP_FRAME_BYTES
        if kind == b"EXIF" and data.startswith(_EXIF_PREFIX, start):
            total, prefix = len(data), len(_EXIF_PREFIX)
            return b"".join(
                (
                    b"RIFF",
                    struct.pack("<I", total - 8 - prefix),
                    data[8 : position + 4],
                    struct.pack("<I", max(size - prefix, 0)),
                    data[start + prefix :],
                )
            )
    return data


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each chunk, up to IEND."""
    position, count = len(PNG_SIGNATURE), 0
    while position + _PNG_FRAME_BYTES <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        position += _PNG_FRAME_BYTES + size
        if position > len(data):
            # OpenCV takes memory for all that a chunk says it has, before it reads: 2 GB and more.
            raise ImageRejected("corrupt", "the PNG ends inside a chunk")
        count = _counted(count)
        yield kind, position
        if kind == b"IEND":
            return


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, position and size of each chunk."""
    position, count = 12, 0
    while position + _WEBP_FRAME_BYTES <= len(data):
        (size,) = struct.unpack_from("<I", data, position + 4)
        count = _counted(count)
        yield data[position : position + 4], position, size
        position += _WEBP_FRAME_BYTES + size + (size & 1)


def _counted(count: int) -> int:
    if count >= MAX_CHUNKS:
        raise ImageRejected("too_complex", f"the image has more than {MAX_CHUNKS} chunks")
    return count + 1
