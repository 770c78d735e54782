"""The last scan of a JPEG, decoded if nothing is missing.

The decoder reports only the first fault: missing data, or surplus data, which do no harm if a
camera put them there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from domain.arrays import Image
from domain.images.image_errors import ImageRejected

_END = b"\xff\xd9"
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_FIRST_RESTART, _RESTARTS = 0xD0, 8

_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd[0-7]\b")
# Webcams (many of Logitech's) leave up to ten bytes behind a restart interval.
_MOST_SURPLUS = 16
# A decoder fills in zeros; this begins with a one.
_GUARD = b"\xd5" * 64


#: What a pixel of the result has: blue, green and red, or brightness.
Colours = Literal["BGR", "GRAY"]


@dataclass(frozen=True, slots=True)
class LastScan:
    """The last scan of a JPEG, with all that is needed to decode it.

    Attributes:
        head: all before its entropy-coded data.
        data: these data.
        restarts: how many markers the data have, where this is the only scan; otherwise 0.
        ended: a marker follows the data, not the end of the file.
    """

    head: bytes
    data: bytes
    restarts: int
    ended: bool


def decode_scan(scan: LastScan) -> Image:
    """Decode a JPEG by its last scan, if that is whole.

    Returns:
        uint8 array (H, W, 3), BGR, as it is stored.

    Raises:
        ImageRejected: ``corrupt``, or ``unsupported_format`` for unusual sampling of colours.
    """
    core, zeros = _core(scan)
    try:
        return _strictly(scan.head, core)
    except ValueError as error:
        message = str(error)
    surplus = _SURPLUS.search(message)
    image = None
    if zeros:
        image = _ending_in_zeros(scan.head, core, (1, zeros) if scan.ended else (1,))
    elif surplus and int(surplus[1]) <= _MOST_SURPLUS and _restarts(core) == _expected(scan):
        image = _with_surplus(scan.head, core)
    if image is None:
        raise _refusal(message)
    return image


def decode_scan_reduced(scan: LastScan, size: tuple[int, int], colours: Colours) -> Image:
    """Decode a JPEG by its last scan at a fraction of its size, if that scan is whole.

    The decoder reads the same data and reports the same faults; only its transform is smaller. If
    it reports one, the full size decides whether that is harmless, because a wrong coefficient may
    not show in a smaller picture.

    Args:
        scan: as for `decode_scan`.
        size: height and width: an eighth, a quarter or a half of the picture's.
        colours: of the result.

    Returns:
        uint8 array (H, W, 3) or (H, W, 1), as it is stored.

    Raises:
        ImageRejected: as `decode_scan` does.
    """
    core, _ = _core(scan)
    height, width = size
    try:
        small = simplejpeg.decode_jpeg(
            scan.head + core + _END, colours, min_height=height, min_width=width
        )
    except ValueError:
        # Also the brightness of CMYK, which the decoder does not make.
        small = cv2.resize(decode_scan(scan), (width, height), interpolation=cv2.INTER_AREA)
        if colours == "GRAY":
            small = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)[:, :, None]
    return np.asarray(small, np.uint8)


def _core(scan: LastScan) -> tuple[bytes, int]:
    """The data of a scan without what a camera filled its buffer up with, and how much that is.

    A zero behind 0xFF belongs to the data, and so may a single one before a marker.
    """
    data = scan.data
    core = data.rstrip(b"\0")
    if core.endswith(b"\xff") and core != data:
        core += b"\0"
    zeros = len(data) - len(core)
    return (data, 0) if scan.ended and zeros == 1 else (core, zeros)


def _ending_in_zeros(head: bytes, core: bytes, counts: Iterable[int]) -> Image | None:
    """The picture, if it needs zeros behind its data, to their last bit.

    Such zeros are data: encoders fill a last byte up with ones.
    """
    for count in counts:
        image = _whole(head, core + bytes(count))
        if image is None:
            continue
        other = _whole(head, core + bytes(count - 1) + b"\x01")
        if other is None or not np.array_equal(image, other):
            return image
    return None


def _whole(head: bytes, scan: bytes) -> Image | None:
    try:
        return _strictly(head, scan)
    except ValueError:
        return None


def _with_surplus(head: bytes, scan: bytes) -> Image | None:
    """The picture, if no restart interval lacks data.

    An interval that lacks data is decoded to something else if other data follow it than those that
    the decoder fills in.
    """
    image = _leniently(head, scan)
    guarded = _RESTART.sub(lambda marker: _GUARD + marker[0], scan) + _GUARD
    return image if np.array_equal(image, _leniently(head, guarded)) else None


def _restarts(scan: bytes) -> bytes:
    return b"".join(_RESTART.findall(scan))


def _expected(scan: LastScan) -> bytes:
    return bytes(_FIRST_RESTART + count % _RESTARTS for count in range(scan.restarts))


def _strictly(head: bytes, scan: bytes) -> Image:
    return np.asarray(simplejpeg.decode_jpeg(head + scan + _END, "BGR"), np.uint8)


def _leniently(head: bytes, scan: bytes) -> Image:
    return np.asarray(simplejpeg.decode_jpeg(head + scan + _END, "BGR", strict=False), np.uint8)


def _refusal(message: str) -> ImageRejected:
    if "subsampling" in message:
        return ImageRejected("unsupported_format", "the JPEG samples its colours unusually")
    return ImageRejected("corrupt", f"the JPEG is not whole: {message}")
