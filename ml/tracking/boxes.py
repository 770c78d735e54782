"""Geometry of boxes: x, y, width, height in pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray


def overlaps(
    first: Sequence[FloatArray] | FloatArray, second: Sequence[FloatArray] | FloatArray
) -> NDArray[np.float64]:
    """Intersection over union of each of N boxes (rows) and each of M boxes (columns): (N, M)."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    one = np.asarray(first, np.float64)[:, None]
    other = np.asarray(second, np.float64)[None]
    upper_left = np.maximum(one[..., :2], other[..., :2])
    lower_right = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    common = np.clip(lower_right - upper_left, 0, None).prod(-1)
    either = one[..., 2:].prod(-1) + other[..., 2:].prod(-1) - common
    return np.asarray(common / np.maximum(either, 1e-9), np.float64)
