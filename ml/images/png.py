"""PNG to pixels.

By Pillow's own decoder, not by libpng: libpng writes to the process's standard error over what it
does not like. Both make the same pixels, in the same time.
"""

import io
from collections.abc import Callable, Mapping
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from domain.arrays import Image
from domain.images.image_errors import ImageRejected
from ml.images.image_chunks import plain_png
from ml.images.png_rows import has_all_rows

_Samples: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


def decode_png(data: bytes) -> tuple[Image, bytes]:
    """Decode a PNG whose pixels are all there. Its end may be missing.

    Args:
        data: a file that `ml.images.decoding.inspect` has let pass.

    Returns:
        The picture as it is stored (H, W, 3), uint8, BGR, and its EXIF data; empty where it has
        none.

    Raises:
        ImageRejected: ``corrupt`` or ``too_complex``.
    """
    plain, exif = plain_png(data)
    try:
        samples, mode = _samples(plain)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageRejected("corrupt", f"the PNG cannot be decoded: {error}") from None
    return np.asarray(_TO_BGR[mode](samples), np.uint8), exif


def _samples(data: bytes) -> tuple[_Samples, str]:
    """Pixels in the least changed form that OpenCV converts, and its name in Pillow."""
    # Not Image.open: it checks its own limit, and warns.
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
        picture.load()
        if _may_lack_rows(picture) and not has_all_rows(data):
            raise ImageRejected("corrupt", "the PNG lacks rows")
        if picture.mode in _TO_BGR:
            return np.asarray(picture), picture.mode
        mode = "L" if picture.mode == "1" else "RGB"
        return np.asarray(picture.convert(mode)), mode


def _may_lack_rows(picture: PngImagePlugin.PngImageFile) -> bool:
    """Missing rows are the last ones, and black.

    In an interlaced picture they are between others.
    """
    width, height = picture.size
    last = picture.crop((0, height - 1, width, height)).tobytes()
    return bool(picture.info.get("interlace")) or not last.strip(b"\0")


def _to_bgr(code: int) -> Callable[[_Samples], cv2.typing.MatLike]:
    return lambda samples: cv2.cvtColor(samples, code)


_TO_BGR: Mapping[str, Callable[[_Samples], cv2.typing.MatLike]] = {
    "L": _to_bgr(cv2.COLOR_GRAY2BGR),
    "LA": lambda samples: cv2.cvtColor(samples[:, :, 0], cv2.COLOR_GRAY2BGR),
    "I;16": lambda samples: cv2.cvtColor((samples >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR),
    "RGB": _to_bgr(cv2.COLOR_RGB2BGR),
    "RGBA": _to_bgr(cv2.COLOR_RGBA2BGR),
}
