"""Whether a frame shows something that an earlier one of the camera did not.

Compared is the brightness of small pictures, each point of which is the mean of an area, which
takes most of the noise away. What differs is explained as far as it can be by the light (a gain and
an offset), and by a shift of the camera by a fraction of a point, by least squares over the points
that follow. What remains in neighbouring points is a change.

Sources: B. Lucas, T. Kanade, "An Iterative Image Registration Technique", IJCAI 1981 (a shift by
its first derivatives); P. Rousseeuw, A. Leroy, "Robust Regression and Outlier Detection", 1987
(trimmed least squares; 1.4826 times the median absolute deviation estimates a standard deviation).
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray, GreyImage, Image

#: Points of the long side: one for 8 x 8 pixels where a detector's canvas has 640. A face of 24
#: pixels, the smallest that is detected by default, covers 3 x 3 points.
LONG_SIDE: Final = 80

_AREA = (3, 3)
# In the dark a face differs less from what is behind it: the contrast that counts is in proportion
# to the brightness up to here, and not less than this part of it.
_FULL_CONTRAST, _LEAST_CONTRAST = 100, 0.5
# In an area of 3 x 3 points, one of them: below two ninths.
_ALONE = 1.5 / 9
_SOBEL_SCALE = 1 / 8
# Points that follow the light and the shift: within so many deviations, or so many grey levels.
_FOLLOWS, _LEAST_FOLLOWING = 2.5, 4.0
_SHIFT_FOLLOWS = 0.3
_SATURATED = 250
# Noise raises the contrast that counts to twice of it at most.
_MOST_NOISE = 2.0
# Rows whose brightness changed by the same factor, to so much, are no bands.
_EVEN = 0.02
# Keeps ratios of dark points near 1.
_DARK = 16
_MAD_TO_DEVIATION = 1.4826
_ROUNDS = 2
# A quarter of the points determines four numbers well enough.
_EVERY = 2
_GREY_AXES = 2
# How far gain, offset (grey levels) and shift (points) may be expected from 1, 0 and 0, against a
# noise of two grey levels: keeps them there where a picture is too flat to determine them.
_EXPECTED = np.array([0.5, 50.0, 0.5, 0.5], np.float32)
_RIDGE = np.diag((2.0 / _EXPECTED) ** 2)


@dataclass(frozen=True, slots=True)
class MotionPolicy:
    """What counts as a change. Units are grey levels (0 to 255) and points of a thumbnail.

    Attributes:
        contrast: a point that differs by more counts, if a neighbour does too. Where it is dark,
            down to half of that is enough.
        faint_contrast: an area of 3 x 3 points whose mean differs by more counts.
        deviations: both are at least so many standard deviations of the difference elsewhere, but
            no more than twice ``contrast``.
        max_shift: a picture that is shifted by more, in points, has changed.
        max_gain: a picture that became brighter or darker by a larger factor has changed.
        cut_share: if a larger share of the points differs, another scene is shown.
    """

    contrast: float = 10.0
    faint_contrast: float = 5.0
    deviations: float = 5.0
    max_shift: float = 0.6
    max_gain: float = 4.0
    cut_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """What a frame shows that an earlier one did not.

    Attributes:
        moved: anything that may be a face or part of one.
        share: of the points that differ, 0 to 1.
        cut: the whole scene is another one: positions in the earlier frame say nothing of this one.
    """

    moved: bool
    share: float
    cut: bool


DEFAULT_POLICY: Final = MotionPolicy()

_UNCHANGED = Change(moved=False, share=0.0, cut=False)
_REPLACED = Change(moved=True, share=1.0, cut=True)


def thumbnail(image: Image | GreyImage, long_side: int = LONG_SIDE) -> GreyImage:
    """The brightness of a frame, as means of areas.

    Args:
        image: uint8 (H, W, 3), BGR, or (H, W), in any size.
        long_side: of the result; a smaller picture is not enlarged.

    Returns:
        uint8 array (h, w).
    """
    grey = image if image.ndim == _GREY_AXES else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    ratio = min(1.0, long_side / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def needs_detection(
    reference: GreyImage, current: GreyImage, policy: MotionPolicy = DEFAULT_POLICY
) -> bool:
    """Whether a frame shows something that the last one with a detection did not.

    Args:
        reference: `thumbnail` of the last frame of the camera in which faces were detected.
        current: that of the frame.
        policy: what counts.
    """
    return difference(reference, current, policy).moved


def difference(
    reference: GreyImage, current: GreyImage, policy: MotionPolicy = DEFAULT_POLICY
) -> Change:
    """Compare two frames of a camera by their thumbnails.

    Args:
        reference: uint8 (h, w), as `thumbnail` makes it, of the earlier frame.
        current: that of the later one. In another size it is another scene.
        policy: what counts.
    """
    if reference.shape != current.shape:
        return _REPLACED
    before, after = reference.astype(np.float32), current.astype(np.float32)
    if not _stands_out(after - before, before, policy, 0.0).any():
        return _UNCHANGED
    by_light = _compared(before, after, policy)
    if not by_light.moved:
        return by_light
    rows = _rows(before, after)
    if np.ptp(rows) < _EVEN:
        return by_light
    by_bands = _compared(before, after / rows, policy)
    return min(by_light, by_bands, key=lambda change: (change.moved, change.share))


def _compared(before: FloatArray, after: FloatArray, policy: MotionPolicy) -> Change:
    """What light on the whole picture and a small shift do not explain."""
    local_range = _local_range(before)
    predicted, shift, gain = _explained(before, after, local_range)
    slight = shift <= policy.max_shift and 1 / policy.max_gain <= gain <= policy.max_gain
    remainder = after - before
    if slight:
        # Edges are finer than points, so that a shift is predicted roughly; and of what was
        # saturated, the brightness was not known.
        unknown = shift * local_range + (before >= _SATURATED) * np.abs(predicted - before)
        remainder = _lessened(after - predicted, unknown)
    # Where most points differ, that is not noise.
    least = min(policy.deviations * _deviation(remainder), _MOST_NOISE * policy.contrast)
    changed = _stands_out(remainder, before, policy, least)
    share = float(changed.mean())
    return Change(moved=not slight or share > 0, share=share, cut=share > policy.cut_share)


def _stands_out(
    remainder: FloatArray, before: FloatArray, policy: MotionPolicy, least: float
) -> NDArray[np.bool]:
    """Where neighbouring points differ by so much as counts, and by ``least``: (h, w)."""
    light = np.clip(before * np.float32(1 / _FULL_CONTRAST), _LEAST_CONTRAST, 1)
    strong = np.abs(remainder) > np.maximum(policy.contrast * light, least)
    neighbours = cv2.blur(strong.astype(np.float32), _AREA, borderType=cv2.BORDER_CONSTANT)
    mean = cv2.blur(remainder, _AREA, borderType=cv2.BORDER_REPLICATE)
    faint = np.abs(mean) > max(policy.faint_contrast, least)
    return np.asarray((strong & (neighbours > _ALONE)) | faint, np.bool)


def _explained(
    before: FloatArray, after: FloatArray, local_range: FloatArray
) -> tuple[FloatArray, float, float]:
    """What the later frame would be by light and a small shift alone, the shift, and the gain."""
    basis = np.stack(
        [
            before - before.mean(),
            np.ones_like(before),
            -cv2.Sobel(before, cv2.CV_32F, 1, 0, scale=_SOBEL_SCALE),
            -cv2.Sobel(before, cv2.CV_32F, 0, 1, scale=_SOBEL_SCALE),
        ]
    )
    some = np.s_[..., ::_EVERY, ::_EVERY]
    chosen = basis[some].reshape(len(basis), -1)
    target = (after - before)[some].ravel()
    # A small shift changes edges much and all else little.
    of_shift = _SHIFT_FOLLOWS * local_range[some].ravel()
    remainder = target - _median(target)
    for _ in range(_ROUNDS):
        of_noise = max(_FOLLOWS * _deviation(remainder), _LEAST_FOLLOWING)
        weighted = chosen * (np.abs(remainder) <= of_noise + of_shift)
        fitted = np.linalg.solve(weighted @ chosen.T + _RIDGE, weighted @ target)
        remainder = target - fitted @ chosen
    predicted = np.clip(before + np.tensordot(fitted, basis, 1), 0, 255)
    return predicted, float(np.hypot(fitted[2], fitted[3])), float(1 + fitted[0])


def _rows(before: FloatArray, after: FloatArray) -> FloatArray:
    """By which factor each row became brighter, (h, 1).

    A lamp with mains frequency and a rolling shutter make bands that go through the picture.
    """
    ratio = (after + _DARK) / (before + _DARK)
    middle = ratio.shape[1] // 2
    return np.asarray(np.partition(ratio, middle, axis=1)[:, middle : middle + 1], np.float32)


def _deviation(remainder: FloatArray) -> float:
    """Standard deviation of the points that follow: robust against a minority that does not."""
    return _MAD_TO_DEVIATION * _median(np.abs(remainder))


def _median(values: FloatArray) -> float:
    """The upper one of two, in half of the time of numpy's."""
    middle = values.size // 2
    return float(np.partition(values, middle, axis=None)[middle])


def _local_range(grey: FloatArray) -> FloatArray:
    """Highest minus lowest of 3 x 3 points around each."""
    kernel = np.ones(_AREA, np.uint8)
    return np.asarray(cv2.dilate(grey, kernel) - cv2.erode(grey, kernel), np.float32)


def _lessened(remainder: FloatArray, by: FloatArray) -> FloatArray:
    """Closer to zero, and never past it."""
    return np.asarray(np.sign(remainder) * np.maximum(np.abs(remainder) - by, 0), np.float32)
