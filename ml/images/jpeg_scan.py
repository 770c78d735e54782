"""The last scan of a JPEG, decoded if nothing is missing.

The decoder reports only the first fault: missing data, or surplus data, which do no harm if a
camera put them there.
"""

import re
from collections.abc import Iterable

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


def decode_scan(head: bytes, scan: bytes, restarts: int, *, ended: bool) -> Image:
    """Decode a JPEG by its last scan, if that is whole.

    Args:
        head: all before the entropy-coded data of that scan.
        scan: these data.
        restarts: how many markers the data have, where this is the only scan; otherwise 0.
        ended: a marker follows the data, not the end of the file.

    Returns:
        uint8 array (H, W, 3), BGR, as it is stored.

    Raises:
        ImageRejected: ``corrupt``, or ``unsupported_format`` for unusual sampling of colours.
    """
    core = _without_zeros(scan)
    zeros = len(scan) - len(core)
    if ended and zeros == 1:
        core, zeros = scan, 0
    try:
        return _strictly(head, core)
    except ValueError as error:
        message = str(error)
    surplus = _SURPLUS.search(message)
    image = None
    if zeros:
        image = _ending_in_zeros(head, core, (1, zeros) if ended else (1,))
    elif surplus and int(surplus[1]) <= _MOST_SURPLUS and _restarts(core) == _expected(restarts):
        image = _with_surplus(head, core)
    if image is None:
        raise _refusal(message)
    return image


def _without_zeros(scan: bytes) -> bytes:
    """The data of a scan without what a camera filled its buffer up with.

    A zero behind 0xFF belongs to it.
    """
    core = scan.rstrip(b"\0")
    return core + b"\0" if core.endswith(b"\xff") and core != scan else core


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


def _expected(restarts: int) -> bytes:
    return bytes(_FIRST_RESTART + count % _RESTARTS for count in range(restarts))


def _strictly(head: bytes, scan: bytes) -> Image:
    return np.asarray(simplejpeg.decode_jpeg(head + scan + _END, "BGR"), np.uint8)


def _leniently(head: bytes, scan: bytes) -> Image:
    return np.asarray(simplejpeg.decode_jpeg(head + scan + _END, "BGR", strict=False), np.uint8)


def _refusal(message: str) -> ImageRejected:
    if "subsampling" in message:
        return ImageRejected("unsupported_format", "the JPEG samples its colours unusually")
    return ImageRejected("corrupt", f"the JPEG is not whole: {message}")
