"""Bring a face into the position the embedders were trained on, and cut it out for people."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.arrays import FloatArray, Image

#: Side of an aligned face in pixels.
ALIGNED_SIZE = 112

# The positions of the five landmarks in an aligned face. Source: ArcFace (Deng et al., CVPR 2019),
# ``arcface_dst`` of InsightFace's ``utils/face_align.py``.
_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float64,
)

_CENTRED = _TEMPLATE - _TEMPLATE.mean(axis=0)

#: Minimum variance of landmarks, in square pixels, that determines a position.
_MIN_VARIANCE = 1e-6


def align(image: Image, landmarks: FloatArray) -> Image:
    """Turn, scale and shift a face onto the ArcFace template.

    Args:
        image: uint8 (H, W, 3).
        landmarks: (5, 2) pixels, in the order of `ml.detection.detections.Detections`.

    Returns:
        uint8 (112, 112, 3); black where the image ends.
    """
    matrix = similarity_transform(landmarks, _TEMPLATE)
    aligned = cv2.warpAffine(image, matrix, (ALIGNED_SIZE, ALIGNED_SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(aligned, np.uint8)


def upright_placement(landmarks: FloatArray, side: int, zoom: float) -> NDArray[np.float64]:
    """The matrix that puts a face, aligned, into the middle of a square picture.

    Args:
        landmarks: (5, 2) pixels, in the order of `ml.detection.detections.Detections`.
        side: of the picture, in pixels.
        zoom: how much more than an aligned face the picture shows, in each direction.

    Returns:
        float64 (2, 3).
    """
    return similarity_transform(landmarks, _CENTRED * (side / (ALIGNED_SIZE * zoom)) + side / 2)


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The rotation, scale and shift that takes source to target with least squared error.

    In the plane the solution of Umeyama ("Least-squares estimation of transformation parameters
    between two point patterns", IEEE PAMI 13, 1991) is one complex division: with both patterns
    centred and read as complex numbers s and t, scale and rotation are sum(conj(s) t) / sum(|s|^2).

    Args:
        source: (N, 2) points.
        target: (N, 2) points.

    Returns:
        float64 (2, 3) matrix. Where all source points fall together, it is the shift alone.
    """
    s = np.asarray(source, np.float64) @ (1, 1j)
    t = np.asarray(target, np.float64) @ (1, 1j)
    centred = s - s.mean()
    power = np.vdot(centred, centred).real
    turn = np.vdot(centred, t) / power if power > _MIN_VARIANCE else 1 + 0j
    shift = t.mean() - turn * s.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _shrink(picture: Image, size: tuple[int, int]) -> Image:
    """Scale a picture down to a width and height, by eye as good as averaging over the area.

    OpenCV averages fast only over whole numbers of pixels (measured: 5 times as fast as over any
    other), so interpolation does the rest, less than a halving, before.
    """
    factor = max(1, min(picture.shape[1] // size[0], picture.shape[0] // size[1]))
    whole = (size[0] * factor, size[1] * factor)
    scaled = cv2.resize(picture, whole, interpolation=cv2.INTER_LINEAR)
    if factor > 1:
        scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8)


def face_crop(image: Image, box: FloatArray, margin: float = 0.4, max_size: int = 256) -> Image:
    """Cut a face with some surroundings out of the image, for people to look at.

    Args:
        image: uint8 (H, W, 3).
        box: x, y, width, height in pixels.
        margin: surroundings on each side, as a share of the box's longer side.
        max_size: a larger cut is scaled down to this side.

    Returns:
        uint8 (S, S, 3), S at most ``max_size``; where the image ends, its edge is repeated.
    """
    left, top, side = _crop_square(box, margin)
    inner = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inner.size == 0:
        raise ValueError("the box is outside the image")
    if side > max_size:
        # Scale before padding, so that no padded copy of a large picture is made.
        ratio = max_size / side
        size = (max(1, round(inner.shape[1] * ratio)), max(1, round(inner.shape[0] * ratio)))
        inner = _shrink(inner, size)
    else:
        ratio = 1.0
    final = min(side, max_size)
    before_y = min(round(max(-top, 0) * ratio), final - inner.shape[0])
    before_x = min(round(max(-left, 0) * ratio), final - inner.shape[1])
    padded = cv2.copyMakeBorder(
        inner,
        before_y,
        final - inner.shape[0] - before_y,
        before_x,
        final - inner.shape[1] - before_x,
        cv2.BORDER_REPLICATE,
    )
    return np.asarray(padded, np.uint8)


def in_crop(
    points: FloatArray, box: FloatArray, margin: float = 0.4, max_size: int = 256
) -> FloatArray:
    """Where points of an image are in the `face_crop` of a box.

    Args:
        points: (N, 2) pixels of the image.
        box: x, y, width, height in pixels of the image.
        margin: as of `face_crop`.
        max_size: as of `face_crop`.

    Returns:
        float32 (N, 2), pixels of the crop.
    """
    left, top, side = _crop_square(box, margin)
    scale = min(1.0, max_size / side)
    # The centre of a pixel is at a whole number, and stays in the middle of what it covers.
    moved = (np.asarray(points, np.float64) - (left, top) + 0.5) * scale - 0.5
    return np.asarray(moved, np.float32)


def _crop_square(box: FloatArray, margin: float) -> tuple[int, int, int]:
    """Left, top and side of the square that `face_crop` cuts out."""
    x, y, width, height = (float(value) for value in box)
    side = max(1, round(max(width, height) * (1 + 2 * margin)))
    return round(x + (width - side) / 2), round(y + (height - side) / 2), side
