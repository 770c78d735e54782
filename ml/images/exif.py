"""The orientation of a picture according to its EXIF data.

Sources: TIFF 6.0, sections 2 and 8 (Orientation); CIPA DC-008 (EXIF), 4.6.4.
"""

import struct

import cv2
import numpy as np

from domain.arrays import Image

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _LONG = 0x0112, 4
_ENTRY_BYTES = 12

_TRANSPOSED = frozenset({5, 6, 7, 8})
# Around which axes to flip, after sides have changed places: cv2.flip's codes.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def orientation(exif: bytes) -> int:
    """The orientation, from 1 (upright) to 8; 1 if there is none.

    Args:
        exif: TIFF structure, without the prefix that JPEG has before it.
    """
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION:
                size = "I" if kind == _LONG else "H"
                (value,) = struct.unpack_from(order + size, exif, entry + 8)
                return int(value) if value in range(1, 9) else 1
    except struct.error:
        pass
    return 1


def upright(image: Image, exif: bytes) -> Image:
    """Turn a picture as its EXIF data say.

    Args:
        image: uint8 array (H, W, 3) or (H, W), as it is stored; it may be flipped in place.
        exif: as for `orientation`.
    """
    value = orientation(exif)
    if value in _TRANSPOSED:
        image = np.asarray(cv2.transpose(image), np.uint8)
    if value in _FLIPS:
        cv2.flip(image, _FLIPS[value], image)
    return image
