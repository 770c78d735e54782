"""Is this a face as the embedders know them: human, and upright once it is aligned?

A detector may find a face that is upside down and place its landmarks as if it were upright.
Alignment then leaves it turned, and embedders place all turned faces close together: different
people match each other. So the detector checks again, on a small sheet that shows the aligned face
and copies of it turned by several angles. If the detector finds the face again, and the aligned one
has the best score, the face is upright. If a turned one has a better score, it is not upright. If
the detector does not find it again, it is not a face. The check uses only the detector, so it works
with every embedder.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray, Image
from ml.detection.detections import Detections, Detector
from ml.detection.letterbox import STRIDE
from ml.recognition.alignment import upright_placement

Matrix = NDArray[np.float64]

#: The angles of the sheet in degrees, the aligned face first. Angles below 90 would
#: refuse faces that are tilted by 30 degrees.
_ANGLES = (0, 90, 135, 180, 225, 270)
_COLUMNS, _ROWS = 3, 2

#: Side of one picture of the sheet in pixels, and how much more than the aligned face it shows.
_CELL = 80
_ZOOM = 1.5

# : Width and height of a sheet in pixels: multiples of a detector's largest stride, so that
# neighbouring : sheets look the same to it.
SHEET_SIZE = (-(-_COLUMNS * _CELL // STRIDE) * STRIDE, -(-_ROWS * _CELL // STRIDE) * STRIDE)

#: Left and top of each picture of a sheet, and its middle.
_CELLS = [(_CELL * (n % _COLUMNS), _CELL * (n // _COLUMNS)) for n in range(len(_ANGLES))]
_MIDDLES = np.array(_CELLS, np.float32) + _CELL / 2

#: A detection belongs to a picture of the sheet when its centre is at most this far from the
#: picture's, as a share of the picture's side.
_REACH = 0.25

#: Turns a picture about its middle; float64 (2, 3), one for each angle.
_TURNS = [cv2.getRotationMatrix2D((_CELL / 2, _CELL / 2), -angle, 1) for angle in _ANGLES]

#: Canvases with sheets in memory at the same time.
_CANVASES = 32

#: The margin of a face that the detector does not find again.
NOT_FOUND = -1.0

#: The margin of a face that needs no second look.
NOT_CHECKED = 1.0

#: How much of its threshold a detector must reach at the second look.
SECOND_LOOK = 0.7

#: The minimum margin of an upright face. ``python -m benchmarks angles`` prints the effect: of the
#: project's labelled pictures no face is lost that is upright or tilted by up to 30 degrees, and no
#: face passes that is turned by 90 degrees or more.
LEAST_MARGIN = -0.01


class LocatedFace(NamedTuple):
    """A face in its picture: uint8 (H, W, 3), and landmarks (5, 2) in pixels."""

    image: Image
    landmarks: FloatArray


class UprightCheck:
    """Takes the second look. It keeps no state: several threads may use one."""

    def __init__(self, detector: Detector, sheets: tuple[int, int] = (1, 1)) -> None:
        """Use a detector.

        Args:
            detector: as it found the faces, but with the threshold times `SECOND_LOOK`, and
                without a least size.
            sheets: how many sheets it takes at once, side by side and below each other; more than
                one where its input has a fixed size.
        """
        self._detector = detector
        self._columns, self._rows = sheets

    def margins(self, faces: Sequence[LocatedFace]) -> list[float]:
        """The detector's score of each aligned face minus that of its best turned copy.

        Returns:
            Differences of scores, -1 to 1; `NOT_FOUND` where it does not find the face again.
        """
        at_once = self._columns * self._rows
        groups = [faces[start : start + at_once] for start in range(0, len(faces), at_once)]
        margins = []
        for start in range(0, len(groups), _CANVASES):
            part = groups[start : start + _CANVASES]
            found = self._detector.detect([self._canvas(group) for group in part])
            margins += [
                _margin(detections, self._corner(place))
                for group, detections in zip(part, found, strict=True)
                for place in range(len(group))
            ]
        return margins

    def _canvas(self, faces: Sequence[LocatedFace]) -> Image:
        width, height = SHEET_SIZE
        canvas = np.zeros((self._rows * height, self._columns * width, 3), np.uint8)
        for place, face in enumerate(faces):
            x, y = self._corner(place)
            for (left, top), picture in zip(_CELLS, _turned(face), strict=True):
                canvas[y + top : y + top + _CELL, x + left : x + left + _CELL] = picture
        return canvas

    def _corner(self, place: int) -> tuple[int, int]:
        row, column = divmod(place, self._columns)
        return column * SHEET_SIZE[0], row * SHEET_SIZE[1]


def _turned(face: LocatedFace) -> Iterator[Image]:
    """The pictures of a sheet."""
    image, placement = _scaled_down(face.image, upright_placement(face.landmarks, _CELL, _ZOOM))
    for turn in _TURNS:
        picture = cv2.warpAffine(image, turn @ placement, (_CELL, _CELL), flags=cv2.INTER_LINEAR)
        yield np.asarray(picture, np.uint8)


def _scaled_down(image: Image, placement: Matrix) -> tuple[Image, Matrix]:
    """A large face with its surroundings, averaged so that taking few of its pixels keeps it.

    Returns:
        An image, and the 3x3 matrix that places the face of this image.
    """
    whole = np.vstack([placement, (0, 0, 1)])
    scale = float(np.hypot(*placement[0, :2]))
    factor = int(0.5 / scale)
    if factor < 2:  # noqa: PLR2004 - nothing to average
        return image, whole
    x, y, _ = np.linalg.inv(whole) @ (_CELL / 2, _CELL / 2, 1)
    height, width = image.shape[:2]
    reach = _CELL / scale
    left, right = (int(min(max(value, 0), width)) for value in (x - reach, x + reach))
    top, bottom = (int(min(max(value, 0), height)) for value in (y - reach, y + reach))
    size = ((right - left) // factor, (bottom - top) // factor)
    if min(size) < 1:
        return image, whole
    part = image[top : top + size[1] * factor, left : left + size[0] * factor]
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    middle = (factor - 1) / 2  # of the pixels that became one
    back = np.array([[factor, 0, left + middle], [0, factor, top + middle], [0, 0, 1]])
    return small, whole @ back


def _margin(found: Detections, corner: tuple[int, int]) -> float:
    centres = found.boxes[:, :2] + found.boxes[:, 2:] / 2 - np.array(corner, np.float32)
    near = (np.abs(centres[:, None] - _MIDDLES) < _REACH * _CELL).all(2)
    scores = np.where(near, found.scores[:, None], 0).max(axis=0, initial=0.0)
    return float(scores[0] - scores[1:].max()) if scores[0] > 0 else NOT_FOUND
