"""Bytes to fewer pixels: a JPEG at a half, a quarter or an eighth of its size.

A JPEG is stored as blocks of 8 x 8 coefficients, and the decoder can make 4 x 4, 2 x 2 or one pixel
of each, by a smaller transform of the lowest frequencies. It reads all coefficients in any case, so
that a picture of which something is missing is refused as at full size.

Source: libjpeg-turbo's scaled decoding, ``jddctmgr.c`` and ``jidctred.c``.
"""

import cv2
import numpy as np

from domain.arrays import GreyImage, Image
from domain.images.image_headers import ImageHeader
from ml.images.decoding import decode_inspected
from ml.images.exif import upright
from ml.images.jpeg import decode_jpeg_reduced

_DIVISORS = (8, 4, 2)
_BYTES_PER_PIXEL = 3


def divisor(header: ImageHeader, long_side: int) -> int:
    """By what `decode_reduced` divides both sides of a picture: 1, 2, 4 or 8.

    The largest that leaves the long side at least ``long_side``, and divides both sides without a
    remainder, so that coordinates on the smaller picture times the divisor are coordinates on the
    full one, in each orientation. Formats other than JPEG are decoded in full size.

    Args:
        header: of the picture.
        long_side: in pixels.
    """
    if header.format != "jpeg":
        return 1
    height, width = header.height, header.width
    for number in _DIVISORS:
        if not height % number and not width % number and max(height, width) >= number * long_side:
            return number
    return 1


def reduced_bytes(header: ImageHeader, long_side: int) -> int:
    """Memory of the picture that `decode_reduced` returns.

    While it decodes, it may take as much as for the full size (``header.decoding_bytes``): the full
    size decides over a JPEG that is not quite regular.
    """
    return _BYTES_PER_PIXEL * header.pixels // divisor(header, long_side) ** 2


def decode_reduced(data: bytes, header: ImageHeader, long_side: int) -> Image:
    """Decode an image no larger than it is needed; otherwise as `ml.images.decoding.decode`.

    Args:
        data: an image that `ml.images.decoding.inspect` has let pass.
        header: what it said of the image.
        long_side: how long the long side of the result is at least, in pixels, if that of the image
            is.

    Returns:
        uint8 array (H, W, 3), BGR, upright. Both sides of the full picture are those of this one
        times `divisor`.

    Raises:
        ImageRejected: ``corrupt`` or ``unsupported_format``, for the same images as at full size.
    """
    number = divisor(header, long_side)
    if number == 1:
        return decode_inspected(data, header)
    size = (header.height // number, header.width // number)
    return upright(*decode_jpeg_reduced(data, size, "BGR"))


def decode_grey(data: bytes, header: ImageHeader, long_side: int) -> GreyImage:
    """Decode the brightness of an image no larger than it is needed.

    Of a JPEG in 640 x 480 at an eighth, that takes less than half of the time of a full decode, and
    the result is the mean of each block of 8 x 8 pixels. It refuses the same images.

    Args:
        data: as for `decode_reduced`.
        header: the same.
        long_side: the same.

    Returns:
        uint8 array (H, W), upright.

    Raises:
        ImageRejected: as `decode_reduced` does.
    """
    number = divisor(header, long_side)
    if number == 1:
        image = decode_inspected(data, header)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    size = (header.height // number, header.width // number)
    image, exif = decode_jpeg_reduced(data, size, "GRAY")
    return upright(image[:, :, 0], exif)
