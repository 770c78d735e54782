"""Pictures of any size onto few canvases of fixed size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from domain.arrays import FloatArray, Image

#: Strides of a detector's pyramid go up to 32, so the sides of its input are multiples of it.
STRIDE = 32

# Short side of a canvas by its long side. Every new input shape costs onnxruntime a new memory
# plan, so there are three (and the same in portrait format): 16:9 and wider, 4:3, and square.
_ASPECTS = (0.6, 0.75, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Letterboxed:
    """A picture in the upper left corner of a black canvas.

    Attributes:
        canvas: uint8 (H, W, 3).
        scale: pixels of the canvas for one pixel of the picture, in x and y.
    """

    canvas: Image
    scale: tuple[float, float]

    def to_image(self, points: FloatArray) -> FloatArray:
        """Take (..., 2) coordinates on the canvas back to the picture."""
        return np.asarray(points / np.array(self.scale, np.float32), np.float32)


def canvas_size(image: Image, long_side: int) -> tuple[int, int]:
    """Height and width of the canvas for a picture.

    A picture at most half as large as ``long_side`` gets a canvas half as large; it is never
    scaled up. Sides are rounded up to the stride.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    long = _up(long_side // 2 if longest <= long_side // 2 else long_side)
    short = min(long, min(height, width) * min(1.0, long / longest))
    fitting = next(side for side in (_up(long * a) for a in _ASPECTS) if short <= side)
    return (long, fitting) if height > width else (fitting, long)


def canvas_sizes(long_side: int) -> set[tuple[int, int]]:
    """Every size that `canvas_size` returns for this long side."""
    longs = (_up(long_side), _up(long_side // 2))
    shapes = {(_up(long * aspect), long) for long in longs for aspect in _ASPECTS}
    return shapes | {(long, short) for short, long in shapes}


def letterbox(image: Image, size: tuple[int, int]) -> Letterboxed:
    """Put a picture onto a canvas, scaled down to fit if it must be.

    Args:
        image: uint8 (H, W, 3).
        size: height and width of the canvas.
    """
    height, width = image.shape[:2]
    ratio = min(1.0, size[0] / height, size[1] / width)
    fitted = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if fitted != (width, height):
        # Averaging over the area keeps small faces that sampling would alias away.
        image = np.asarray(cv2.resize(image, fitted, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[:2] == size:
        return Letterboxed(image, (fitted[0] / width, fitted[1] / height))
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[: fitted[1], : fitted[0]] = image
    return Letterboxed(canvas, (fitted[0] / width, fitted[1] / height))


def batches(sizes: Sequence[tuple[int, int]], limit: int) -> list[list[int]]:
    """Group indices of equal size into runs of at most ``limit``."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return [
        group[start : start + limit]
        for group in groups.values()
        for start in range(0, len(group), limit)
    ]


def _up(side: float) -> int:
    return max(1, -(-int(side) // STRIDE)) * STRIDE
