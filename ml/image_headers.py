"""Format and size of an image, told from its first bytes without decoding.

Sources: ITU-T T.81 annex B (JPEG markers), W3C PNG specification (IHDR), RFC 9649 (WebP).
"""

import struct
from dataclasses import dataclass
from typing import Literal

from ml.errors import ImageRejected

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Start-of-frame markers; 0xC4 (DHT), 0xC8 (JPG) and 0xCC (DAC) lie between them and are none.
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START_OF_SCAN, _JPEG_END_OF_IMAGE = 0xDA, 0xD9
# TEM and RSTn stand alone, without a length.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header says; width and height are those of the stored picture, before rotation."""

    format: Literal["jpeg", "png", "webp"]
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """Read format and size from the header.

    Raises:
        ImageRejected: ``unsupported_format``, or ``corrupt`` when the header is broken.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _read_jpeg(data)
        if data.startswith(PNG_SIGNATURE):
            return _read_png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _read_webp(data)
    except (struct.error, IndexError):
        raise ImageRejected("corrupt", "the image ends inside its header") from None
    raise ImageRejected("unsupported_format", "the bytes are neither JPEG, PNG nor WebP")


def _read_jpeg(data: bytes) -> ImageHeader:
    position = 2
    while True:
        if data[position] != 0xFF:  # noqa: PLR2004 - every marker starts with FF
            raise ImageRejected("corrupt", "the JPEG header is broken")
        while data[position] == 0xFF:  # noqa: PLR2004 - any number of fill bytes may precede
            position += 1
        marker = data[position]
        position += 1
        if marker in _JPEG_STANDALONE:
            continue
        if marker in (_JPEG_START_OF_SCAN, _JPEG_END_OF_IMAGE):
            raise ImageRejected("corrupt", "the JPEG has no frame header")
        if marker in _JPEG_SOF:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return ImageHeader("jpeg", width, height)
        position += struct.unpack_from(">H", data, position)[0]


def _read_png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ImageRejected("corrupt", "the PNG does not begin with IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    return ImageHeader("png", width, height)


def _read_webp(data: bytes) -> ImageHeader:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = _uint24(data, 24) + 1, _uint24(data, 27) + 1
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        raise ImageRejected("corrupt", "the WebP does not begin with an image chunk")
    return ImageHeader("webp", width, height)


def _uint24(data: bytes, position: int) -> int:
    low, high = struct.unpack_from("<HB", data, position)
    return int(low | high << 16)
