"""Format, size and cost of an image, read from its bytes without decoding.

Sources: W3C PNG specification (IHDR), RFC 9649 (WebP).
"""

import struct
from dataclasses import dataclass
from typing import Literal

from domain.images.image_errors import ImageRejected
from domain.images.jpeg_segments import FRAMES, START_OF_SCAN, frame_of, segments

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Baseline, extended and progressive, all Huffman-coded: what cameras and browsers make and show.
# Lossless, hierarchical and arithmetic ones are rare, slow, and decoders' least tried parts.
_JPEG_COMMON_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_PRECISION = 8

# Bytes that the decoders take for a pixel, measured: two copies of the result;
# with them the coefficients of several scans, up to four planes (CMYK) of 16 bits, or the canvas
# of an animation.
_PLAIN_BYTES, _BUFFERED_BYTES = 6, 12

# A scan costs something however small the picture is: as much as so many pixels.
_LEAST_SCAN_PIXELS = 65_536


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What can be known without decoding.

    Attributes:
        format: of the encoding.
        width: of the stored picture, before rotation.
        height: the same.
        scans: of a JPEG: how often the decoder goes over the picture, at most.
        buffered: the decoder holds more than the result: coefficients, or a canvas.
    """

    format: Literal["jpeg", "png", "webp"]
    width: int
    height: int
    scans: int = 1
    buffered: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of the picture."""
        return self.width * self.height

    @property
    def work(self) -> int:
        """Pixels that the decoder visits, over all scans: what its time is in proportion to."""
        return self.scans * max(self.pixels, _LEAST_SCAN_PIXELS)

    @property
    def decoding_bytes(self) -> int:
        """Most memory that decoding takes, the result included."""
        return self.pixels * (_BUFFERED_BYTES if self.buffered else _PLAIN_BYTES)


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
    frame, scans = None, 0
    for segment in segments(data):
        if segment.marker in FRAMES:
            frame = frame or frame_of(data, segment)
        elif segment.marker == START_OF_SCAN:
            scans += 1
    if frame is None:
        raise ImageRejected("corrupt", "the JPEG has no frame header")
    if frame.marker not in _JPEG_COMMON_FRAMES or frame.precision != _JPEG_PRECISION:
        raise ImageRejected(
            "unsupported_format",
            "the JPEG is lossless, hierarchical, arithmetic-coded, or has not 8 bits a sample",
        )
    buffered = frame.progressive or scans > 1
    return ImageHeader("jpeg", frame.width, frame.height, max(1, scans), buffered)


def _read_png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ImageRejected("corrupt", "the PNG does not begin with IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    return ImageHeader("png", width, height, buffered=True)


def _read_webp(data: bytes) -> ImageHeader:
    chunk = data[12:16]
    extended = chunk == b"VP8X"
    if extended:
        width, height = _uint24(data, 24) + 1, _uint24(data, 27) + 1
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        raise ImageRejected("corrupt", "the WebP does not begin with an image chunk")
    return ImageHeader("webp", width, height, buffered=extended)


def _uint24(data: bytes, position: int) -> int:
    low, high = struct.unpack_from("<HB", data, position)
    return int(low | high << 16)
