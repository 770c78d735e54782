"""A JPEG as its segments, passed over by their lengths without decoding.

Source: ITU-T T.81 annex B. Where files break the rules, the walk is as lenient as libjpeg: bytes
between segments are skipped.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.images.image_errors import ImageRejected

# Start-of-frame markers; 0xC4 (DHT), 0xC8 (JPG) and 0xCC (DAC) are between them and do not start a
# frame.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL = 0xC4, 0xDB, 0xDD
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
APP0, APP1, APP14 = 0xE0, 0xE1, 0xEE

# A picture has dozens, or one for each 64 kB of profile and thumbnail.
_MAX_SEGMENTS = 20_000

# FF 00 is a byte of entropy-coded data, FF FF a fill byte; RSTn belong to the scan around them.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# TEM has no length.
_TEMPORARY = 0x01


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what belongs to it, as positions in the file.

    Attributes:
        marker: its second byte.
        start: of the payload, behind the length.
        end: of the payload.
        scan_end: of the entropy-coded data behind a start of scan; otherwise ``end``.
    """

    marker: int
    start: int
    end: int
    scan_end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame header.

    Attributes:
        marker: the kind of coding.
        precision: bits of a sample.
        height: of the stored picture, before rotation.
        width: the same.
        components: their identifiers.
        sampling: of each component, across in the upper half of the byte, down in the lower.
    """

    marker: int
    precision: int
    height: int
    width: int
    components: bytes
    sampling: bytes

    @property
    def progressive(self) -> bool:
        """Its scans refine the picture step by step."""
        return self.marker == PROGRESSIVE


def segments(data: bytes) -> Iterator[Segment]:
    """Every whole segment of the first picture, up to its end or the beginning of another one.

    Raises:
        ImageRejected: ``too_complex``, when there are too many.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        marker, position = found[1][0], found.end()
        if marker in (START_OF_IMAGE, END_OF_IMAGE):
            return
        if marker == _TEMPORARY:
            continue
        if position + 2 > len(data):
            return
        start, end = position + 2, position + max(2, struct.unpack_from(">H", data, position)[0])
        if end > len(data):
            return
        position = _scan_end(data, end) if marker == START_OF_SCAN else end
        yield Segment(marker, start, end, position)
    raise ImageRejected("too_complex", f"the JPEG has more than {_MAX_SEGMENTS} segments")


def frame_of(data: bytes, segment: Segment) -> Frame:
    """What a start of frame says.

    Raises:
        struct.error: the segment is too short.
    """
    precision, height, width, count = struct.unpack_from(">BHHB", data, segment.start)
    first = segment.start + 6
    components = data[first : min(first + 3 * count, segment.end)]
    return Frame(segment.marker, precision, height, width, components[::3], components[1::3])


def restarts_of(data: bytes, frame: Frame, found: Iterable[Segment]) -> int:
    """The number of restart markers in the data of a single scan that has the whole picture."""
    interval = 0
    for one in found:
        if one.marker == RESTART_INTERVAL and one.end >= one.start + 2:
            (interval,) = struct.unpack_from(">H", data, one.start)
    if not interval:
        return 0
    interleaved = len(frame.components) > 1
    across = max(value >> 4 for value in frame.sampling) if interleaved else 1
    down = max(value & 15 for value in frame.sampling) if interleaved else 1
    if not across or not down:
        return 0
    units = -(-frame.width // (8 * across)) * -(-frame.height // (8 * down))
    return (units - 1) // interval


def _scan_end(data: bytes, position: int) -> int:
    found = _MARKER.search(data, position)
    return found.start() if found else len(data)
