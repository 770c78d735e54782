"""Clips of one person each, put side by side into frames of any size."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.load.frames import Picture, video_frames
from infra.demo.sample_media import CARPHONE

#: One-person clips below the folder of material, at `CLIP_RATE` frames a second, as the sample is.
_CLIPS = "video/*/*.mkv"
CLIP_RATE = 30.0
_SAMPLE_FRAMES = 90

# Standard deviation, in grey levels, of the noise that enlarging has smoothed away.
_NOISE = 2.0
_NOISE_MARGIN = 64


class ClipsMissingError(Exception):
    """There is no clip below the folder."""


def load_clips(shared: Path | None) -> list[list[Picture]]:
    """The frames of each clip, uint8 (H, W, 3), BGR.

    Args:
        shared: folder with clips; None: the sample video.

    Raises:
        ClipsMissingError: there is none.
    """
    if shared is None:
        return [list(islice(video_frames(CARPHONE.locate()), _SAMPLE_FRAMES))]
    clips = [list(video_frames(path)) for path in sorted(shared.glob(_CLIPS))]
    if not clips:
        raise ClipsMissingError(f"no {_CLIPS} below {shared}; --shared names the folder")
    return clips


def there_and_back(number: int, length: int) -> int:
    """The place of a frame that is played forwards, then backwards, and so on: without a cut."""
    place = number % max(1, 2 * (length - 1))
    return min(place, 2 * (length - 1) - place)


def covering(picture: Picture, width: int, height: int) -> Picture:
    """The middle of a picture from its top, scaled to cover a size."""
    rows, columns = picture.shape[:2]
    scale = max(width / columns, height / rows)
    cut_width, cut_height = max(1, round(width / scale)), max(1, round(height / scale))
    left = (columns - cut_width) // 2
    cut = picture[:cut_height, left : left + cut_width]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, (width, height), interpolation=interpolation), np.uint8)


def side_by_side(people: Sequence[Picture], width: int, height: int) -> Picture:
    """A frame with one picture for each person, from left to right."""
    ends = [width * number // len(people) for number in range(len(people) + 1)]
    return np.hstack(
        [
            covering(one, right - left, height)
            for one, left, right in zip(people, ends, ends[1:], strict=False)
        ]
    )


class SensorNoise:
    """Noise of a camera's sensor, the same in every run."""

    def __init__(self, width: int, height: int, deviation: float = _NOISE) -> None:
        self._random = np.random.default_rng(20_231)
        shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3)
        self._field = (deviation * self._random.standard_normal(shape, np.float32)).astype(np.int16)

    def on(self, picture: Picture) -> Picture:
        """The picture with other noise on each call."""
        height, width = picture.shape[:2]
        top, left = self._random.integers(0, _NOISE_MARGIN, 2)
        noise = self._field[top : top + height, left : left + width]
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)
