"""The square around a face that a liveness model looks at, and whether it is of use."""

import cv2
import numpy as np

from domain.arrays import FloatArray, Image
from domain.decisions.liveness import InputMeasures

#: Brightness of colours as a share of blue, green and red (ITU-R BT.601).
_LUMA = (0.114, 0.587, 0.299)


def face_square(
    image: Image, box: FloatArray, crop: float, size: int
) -> tuple[Image, InputMeasures]:
    """Cut the square around the middle of a face, scaled to the model's input.

    Args:
        image: uint8 (H, W, 3), BGR, upright.
        box: float32 (4,): x, y, width, height in pixels of the image.
        crop: side of the square in units of the box's longer side.
        size: side of the result in pixels.

    Returns:
        uint8 (size, size, 3), BGR, black where the image ends; and what was measured of it.
    """
    x, y, width, height = (float(value) for value in box)
    side = max(1, round(max(width, height) * crop))
    left, top = round(x + (width - side) / 2), round(y + (height - side) / 2)
    inner = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    outside = 1.0 - inner.shape[0] * inner.shape[1] / side**2
    square = np.zeros((size, size, 3), np.uint8)
    if inner.size:
        # Scaled before it is put on black: no padded copy of a large picture is made.
        ratio = size / side
        at_y, at_x = (min(round(max(-one, 0) * ratio), size - 1) for one in (top, left))
        rows = min(max(1, round(inner.shape[0] * ratio)), size - at_y)
        columns = min(max(1, round(inner.shape[1] * ratio)), size - at_x)
        how = cv2.INTER_AREA if ratio < 1.0 else cv2.INTER_LINEAR
        square[at_y : at_y + rows, at_x : at_x + columns] = cv2.resize(
            inner, (columns, rows), interpolation=how
        )
    return square, InputMeasures(outside, size / side, _brightness(image, box))


def _brightness(image: Image, box: FloatArray) -> float:
    """Mean brightness of the part of a box that is in the image; 0 if none is."""
    left, top = (max(0, int(value)) for value in box[:2])
    right, bottom = (max(0, int(value)) for value in box[:2] + box[2:])
    face = image[top:bottom, left:right]
    if face.size == 0:
        return 0.0
    return float(np.dot(cv2.mean(face)[:3], _LUMA))
