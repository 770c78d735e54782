"""Weak copies of labelled pictures, and parts of them that do not show the labelled face."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from agents.detect.detected_faces import photographed
from benchmarks.load.frames import Picture
from domain.arrays import FloatArray
from domain.events import DetectedFace
from ml.recognition.face_analyser import AnalysedFace, Analyser

Box = Sequence[float]

#: Standard deviation of the blur, as a share of the height of the face.
_BLURS = (0.02, 0.035, 0.05, 0.08, 0.12)
#: Smaller side of the face in pixels.
_SIZES = (16, 20, 24, 32, 40, 52)
#: Factors of the brightness.
_DARK, _BRIGHT = (0.05, 0.1, 0.2, 0.35), (1.8, 2.6, 4.0)
#: Standard deviation of noise, in grey levels.
_NOISE = (21, 30, 42)
#: Around the face, as shares of its width and height: what is left out of a part without it.
_ASIDE, _ABOVE, _BELOW = 0.1, 0.3, 0.05
_LEAST_SIDE = 24
_ENLARGED = (1, 2, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """The largest face of a picture.

    Attributes:
        face: as it is sent to the identify worker.
        embedding: float32 (D,) of length 1.
    """

    face: DetectedFace
    embedding: FloatArray

    @property
    def box(self) -> Box:
        """Of the face: x, y, width, height in pixels."""
        return self.face.box

    @property
    def score(self) -> float:
        """The detector's confidence."""
        return self.face.score

    @property
    def quality(self) -> float:
        """Fitness for recognition."""
        return self.face.quality


def faces_of(analyser: Analyser, picture: Picture) -> list[Copy]:
    """All faces of a picture as it is."""
    (found,) = analyser.analyse([picture], check_all=True)
    return [_copy(one) for one in found]


def weak_copies(analyser: Analyser, picture: Picture, box: Box) -> list[Copy]:
    """The largest face of each weak copy of a picture; of those in which there is one.

    Args:
        analyser: the models.
        picture: uint8 (H, W, 3).
        box: of the labelled face.
    """
    copies = []
    for weak in _weakened(picture, box):
        found = faces_of(analyser, weak)
        if found:
            copies.append(max(found, key=lambda one: one.box[2] * one.box[3]))
    return copies


def _copy(found: AnalysedFace) -> Copy:
    return Copy(photographed(found), found.embedding)


def _weakened(picture: Picture, box: Box) -> Iterator[Picture]:
    random = np.random.default_rng(1)
    floats = picture.astype(np.float32)
    for share in _BLURS:
        yield np.asarray(cv2.GaussianBlur(picture, (0, 0), share * box[3]), np.uint8)
    for side in _SIZES:
        scale = side / min(box[2], box[3])
        if scale < 1:
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            yield np.asarray(small, np.uint8)
    for factor in (*_DARK, *_BRIGHT):
        yield _clipped(floats * factor + random.normal(0, 1.5, picture.shape))
    for deviation in _NOISE:
        yield _clipped(floats + random.normal(0, deviation, picture.shape))


def _clipped(values: npt.NDArray[np.floating]) -> Picture:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def parts_without_face(analyser: Analyser, picture: Picture, box: Box) -> list[DetectedFace]:
    """What the detector finds in parts of a picture that do not show the labelled face.

    Args:
        analyser: the models.
        picture: uint8 (H, W, 3).
        box: of the labelled face.
    """
    x, y, width, height = (int(value) for value in box)
    aside, below = int(_ASIDE * width), y + height + int(_BELOW * height)
    covered = picture.copy()
    top = max(0, y - int(_ABOVE * height))
    covered[top : below + aside, max(0, x - aside) : x + width + aside] = picture.mean((0, 1))
    parts = [
        picture[below:],
        picture[:, : max(0, x - aside)],
        picture[:, x + width + aside :],
        covered,
    ]
    return [
        photographed(one)
        for part in parts
        if min(part.shape[:2]) >= _LEAST_SIDE
        for factor in _ENLARGED
        for one in analyser.analyse(
            [np.ascontiguousarray(cv2.resize(part, None, fx=factor, fy=factor), np.uint8)],
            check_all=True,
        )[0]
    ]
