"""JPEG to pixels; a picture in which the decoder would fill in missing data is refused.

If data are missing, libjpeg continues, shows the rest in grey, and only warns. Here such a warning
refuses the picture. Harmless causes of warnings are removed before: the decoder gets only the
tables, the frame and the scans, in the simplest form.

Sources: ITU-T T.81 (annex B; G.1.1.1 for progressive scans), JFIF 1.02, Adobe TN 5116 (APP14).
"""

import struct
from collections.abc import Iterator, Sequence

from domain.arrays import Image
from domain.images.image_errors import ImageRejected
from domain.images.jpeg_segments import (
    APP0,
    APP1,
    APP14,
    FRAMES,
    HUFFMAN_TABLES,
    QUANTISATION_TABLES,
    RESTART_INTERVAL,
    START_OF_SCAN,
    Frame,
    Segment,
    frame_of,
    restarts_of,
    segments,
)
from ml.images.exif import orientation
from ml.images.jpeg_scan import Colours, LastScan, decode_scan, decode_scan_reduced

_KEPT = FRAMES | {HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL}

_START, _END = b"\xff\xd8", b"\xff\xd9"
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_JFIF_BYTES, _ADOBE_BYTES = 14, 12
_EXIF_PREFIX = b"Exif\0"
_CMYK_COMPONENTS = 4
_COEFFICIENTS = 64
# Of a scan's header, without two bytes for each component.
_SCAN_HEADER_BYTES = 4
# First and last coefficient of a scan, and how many bits are left for later ones.
_ALL_AT_ONCE = b"\x00\x3f\x00"
# Not sent yet; what is sent has an accuracy from 0 (complete) to 13.
_MISSING = 255


def decode_jpeg(data: bytes) -> tuple[Image, bytes]:
    """Decode a JPEG of which every coefficient is there.

    Args:
        data: a file that `ml.images.decoding.inspect` has let pass. Its end marker may be missing.

    Returns:
        The picture as it is stored (H, W, 3), uint8, BGR, and its EXIF data, without the prefix;
        empty where it has none.

    Raises:
        ImageRejected: ``corrupt``, also where data are missing that a viewer would fill in;
            ``unsupported_format`` for unusual sampling of colours.
    """
    scan, exif = _last_scan(data)
    return decode_scan(scan), exif


def decode_jpeg_reduced(
    data: bytes, size: tuple[int, int], colours: Colours
) -> tuple[Image, bytes]:
    """As `decode_jpeg`, at an eighth, a quarter or a half of the size.

    Args:
        data: the same.
        size: height and width of the result, which divide the picture's.
        colours: of the result, which is (H, W, 3) or (H, W, 1).
    """
    scan, exif = _last_scan(data)
    return decode_scan_reduced(scan, size, colours), exif


def bare_jpeg(data: bytes) -> bytes | None:
    """A JPEG of the same picture, without anything else that a file may have in it.

    Args:
        data: as for `decode_jpeg`, which does not refuse it.

    Returns:
        The tables, the frame and the scans, as they are. None for a picture that is to be turned,
        that has four colours, or that relies on tables that it does not have.

    Raises:
        ImageRejected: as `decode_jpeg` does.
    """
    frame, found = _first_picture(data)
    scan, exif = _last_scan(data)
    has_tables = any(one.marker == HUFFMAN_TABLES for one in found)
    if frame is None or len(frame.components) == _CMYK_COMPONENTS or not has_tables:
        return None
    return None if orientation(exif) != 1 else scan.head + scan.data + _END


def _last_scan(data: bytes) -> tuple[LastScan, bytes]:
    """The scan that completes the picture, and the EXIF data."""
    frame, found = _first_picture(data)
    scans = [one for one in found if one.marker == START_OF_SCAN]
    if frame is None or not _complete(frame, [data[one.start : one.end] for one in scans]):
        raise ImageRejected("corrupt", "the JPEG lacks scans")
    last = scans[-1]
    before = _plain(data, frame, found[: found.index(last)])
    scan = LastScan(
        head=b"".join((*before, _scan_header(data, frame, last))),
        data=data[last.end : last.scan_end],
        restarts=restarts_of(data, frame, found) if len(scans) == 1 else 0,
        ended=last.scan_end < len(data),
    )
    return scan, _exif(data, found)


def _first_picture(data: bytes) -> tuple[Frame | None, list[Segment]]:
    """Its segments, up to the scan that completes it, if that can be determined."""
    frame: Frame | None = None
    missing: set[int] = set()
    found: list[Segment] = []
    for one in segments(data):
        found.append(one)
        if one.marker in FRAMES and frame is None:
            frame = frame_of(data, one)
            missing = set(frame.components)
        elif one.marker == START_OF_SCAN:
            header = data[one.start : one.end]
            if len(header) != 2 * sum(header[:1]) + _SCAN_HEADER_BYTES:
                raise ImageRejected("corrupt", "a scan header of the JPEG is broken")
            missing -= set(header[1:-3:2])
            if frame and not frame.progressive and not missing:
                break
    return frame, found


def _complete(frame: Frame, scans: Sequence[bytes]) -> bool:
    """Whether every coefficient of every component is sent, to its last bit.

    Args:
        frame: its header.
        scans: their headers.
    """
    lowest = {identifier: bytearray([_MISSING] * _COEFFICIENTS) for identifier in frame.components}
    for scan in scans:
        first, last, approximation = scan[-3:] if frame.progressive else _ALL_AT_ONCE
        band = slice(first, min(last + 1, _COEFFICIENTS))
        for identifier in scan[1:-3:2]:
            if (bits := lowest.get(identifier)) is not None:
                bits[band] = bytes([approximation & 15]) * len(bits[band])
    return bool(scans) and not any(map(any, lowest.values()))


def _plain(data: bytes, frame: Frame, found: Sequence[Segment]) -> Iterator[bytes]:
    """The segments that make the picture, in the plainest form."""
    yield _START
    for one in found:
        payload = data[one.start : one.end]
        if one.marker == START_OF_SCAN:
            yield _scan_header(data, frame, one)
            yield data[one.end : one.scan_end]
        elif one.marker in _KEPT:
            yield _segment(one.marker, payload)
        elif one.marker == APP0 and payload[:5] == b"JFIF\0" and len(payload) >= _JFIF_BYTES:
            yield _JFIF
        elif one.marker == APP14 and payload[:5] == b"Adobe" and len(payload) >= _ADOBE_BYTES:
            yield _segment(APP14, payload[:11] + _transform(frame, payload[11]))


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _transform(frame: Frame, value: int) -> bytes:
    """Adobe's code for how colours are kept; of an unknown one, what libjpeg takes it for."""
    if value:
        value = 2 if len(frame.components) == _CMYK_COMPONENTS else 1
    return bytes([value])


def _scan_header(data: bytes, frame: Frame, scan: Segment) -> bytes:
    """The start of a scan; one that is not progressive has all coefficients, whatever it says."""
    payload = data[scan.start : scan.end]
    return _segment(START_OF_SCAN, payload if frame.progressive else payload[:-3] + _ALL_AT_ONCE)


def _exif(data: bytes, found: Sequence[Segment]) -> bytes:
    for one in found:
        if one.marker == APP1 and data.startswith(_EXIF_PREFIX, one.start):
            return data[one.start + len(_EXIF_PREFIX) + 1 : one.end]
    return b""
