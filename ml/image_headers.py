"""Format, size and cost of an image, told from its bytes without decoding.

Sources: ITU-T T.81 annex B (JPEG markers), W3C PNG specification (IHDR), RFC 9649 (WebP).
"""

import re
import struct
from dataclasses import dataclass
from typing import Literal

from ml.errors import ImageRejected

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Start-of-frame markers; 0xC4 (DHT), 0xC8 (JPG) and 0xCC (DAC) lie between them and are none.
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive, all Huffman-coded: what cameras and browsers make and show.
# Lossless, hierarchical and arithmetic ones are rare, slow, and decoders' least tried parts.
_JPEG_COMMON_SOF = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_PROGRESSIVE = 0xC2
_JPEG_START_OF_SCAN, _JPEG_END_OF_IMAGE = 0xDA, 0xD9
# TEM and RSTn stand alone, without a length.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# Any number of fill bytes may precede a marker.
_JPEG_MARKER_HERE = re.compile(rb"\xff+([^\x00\xff])")
# In entropy-coded data FF is followed by 00, or is a restart marker.
_JPEG_NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# A picture has dozens, or one for each 64 kB of profile and thumbnail.
_MAX_MARKERS = 20_000
# So many scans are counted generously; only beyond it does a marker within a segment matter.
_FEW_SCANS = 8

# Bytes that OpenCV takes for a pixel while it decodes, measured (5.0): two copies of the result;
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
    position = 2
    for _ in range(_MAX_MARKERS):
        if position >= len(data):
            raise ImageRejected("corrupt", "the image ends inside its header")
        found = _JPEG_MARKER_HERE.match(data, position)
        if found is None:
            raise ImageRejected("corrupt", "the JPEG header is broken")
        marker, position = found[1][0], found.end()
        if marker in _JPEG_STANDALONE:
            continue
        if marker in (_JPEG_START_OF_SCAN, _JPEG_END_OF_IMAGE):
            raise ImageRejected("corrupt", "the JPEG has no frame header")
        if marker in _JPEG_SOF:
            return _read_frame_header(data, marker, position)
        position += struct.unpack_from(">H", data, position)[0]
    raise ImageRejected("too_complex", f"the JPEG has more than {_MAX_MARKERS} segments")


def _read_frame_header(data: bytes, marker: int, position: int) -> ImageHeader:
    if marker not in _JPEG_COMMON_SOF:
        raise ImageRejected(
            "unsupported_format", "the JPEG is lossless, hierarchical or arithmetic-coded"
        )
    height, width = struct.unpack_from(">HH", data, position + 3)
    scans = _count_scans(data)
    buffered = marker == _JPEG_PROGRESSIVE or scans > 1
    return ImageHeader("jpeg", width, height, scans, buffered)


def _count_scans(data: bytes) -> int:
    """How many scans libjpeg will find; never fewer.

    Segments are passed over by their length, as they may hold a thumbnail or random bytes.
    """
    at_most = data.count(b"\xff\xda")
    if at_most <= _FEW_SCANS:
        return max(1, at_most)
    scans, position = 0, 2
    for _ in range(_MAX_MARKERS):
        found = _JPEG_NEXT_MARKER.search(data, position)
        if found is None:
            return max(1, scans)
        marker, position = found[1][0], found.end()
        if marker == _JPEG_END_OF_IMAGE or position + 2 > len(data):
            return max(1, scans)
        scans += marker == _JPEG_START_OF_SCAN
        if marker not in _JPEG_STANDALONE:
            position += max(2, struct.unpack_from(">H", data, position)[0])
    raise ImageRejected("too_complex", f"the JPEG has more than {_MAX_MARKERS} segments")


def _read_png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ImageRejected("corrupt", "the PNG does not begin with IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    interlaced = data[28] != 0
    return ImageHeader("png", width, height, buffered=interlaced)


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
