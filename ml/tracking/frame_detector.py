"""Finds the faces of frames: in the whole of them, or only near where faces were.

Near a known face a small part of the frame is searched, at a tenth of the cost of the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import NamedTuple

import numpy as np

from domain.arrays import FloatArray, Image
from ml.detection.detections import Detections, Detector, large_enough
from ml.tracking.boxes import overlaps
from ml.tracking.seen_faces import SeenFace, seen_face

#: Long side of the canvas for the part of a picture that is searched for a face, in pixels. The
#: face has about 64 of them, which is enough for the built-in detector.
SIDE = 160

#: With more known faces the whole frame is searched, which then costs hardly more.
MOST_FACES = 6

# How far around a face is searched, as a multiple of the longer side of its box.
_SURROUNDINGS = 2.5

# A detection counts if its centre is at most this far from the expected one, as a share of the
# searched part's side: nearer to the border a face may be cut.
_REACH = 0.35

# Two boxes with a larger intersection over union are one face, found from two places.
_SAME = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Nearby:
    """A frame, and where its faces should be.

    Attributes:
        picture: uint8 (H, W, 3), BGR, upright; may be smaller than the frame.
        number: by which both sides of the frame were divided.
        expected: float32 (4,) each: boxes in pixels of the frame.
    """

    picture: Image
    number: int
    expected: Sequence[FloatArray]


class _Part(NamedTuple):
    """The part of a picture that is searched for one face; lengths in pixels of the picture."""

    picture: Image
    corner: FloatArray
    centre: FloatArray
    reach: float


class FrameDetector:
    """A detector for frames, which may be decoded at a fraction of their size. It keeps no state.

    Attributes:
        long_side: of the canvas for a whole frame, in pixels.
    """

    def __init__(
        self,
        whole: Detector,
        nearby: Detector | None,
        *,
        long_side: int,
        min_face_pixels: int,
        max_faces: int,
    ) -> None:
        """Use a model with two canvases.

        Args:
            whole: with a canvas of ``long_side``, and without limits for faces.
            nearby: the same with a canvas of `SIDE`; None where the model has one canvas.
            long_side: in pixels.
            min_face_pixels: the least size of a box, in pixels of the frame.
            max_faces: how many of a frame's faces are kept.
        """
        self.long_side = long_side
        self._whole = whole
        self._nearby = nearby
        self._min_face_pixels = min_face_pixels
        self._max_faces = max_faces

    def find(self, pictures: Sequence[tuple[Image, int]]) -> list[list[SeenFace]]:
        """Find the faces of frames.

        Args:
            pictures: uint8 (H, W, 3), BGR, upright, each with the number by which both sides of its
                frame were divided.

        Returns:
            For each its faces, the best score first, in pixels of the frame.
        """
        found = self._whole.detect([picture for picture, _ in pictures])
        return [self._seen(*one, faces) for one, faces in zip(pictures, found, strict=True)]

    def find_nearby(self, frames: Sequence[Nearby]) -> list[list[SeenFace] | None]:
        """Find the faces of frames again near where they were.

        Args:
            frames: each with at least one expected face.

        Returns:
            For each its faces, as `find` does; None if one of the expected ones is not found, so
            that the whole frame must be searched, and where the model cannot search a part.
        """
        if self._nearby is None:
            return [None] * len(frames)
        boxes = [[np.float32(1 / one.number) * box for box in one.expected] for one in frames]
        parts = [
            [_part(one.picture, box) for box in some]
            for one, some in zip(frames, boxes, strict=True)
        ]
        detected = self._nearby.detect([part.picture for some in parts for part in some])
        found = iter(detected)
        results: list[list[SeenFace] | None] = []
        for frame, some in zip(frames, parts, strict=True):
            detections = _joined([_counted(next(found), part) for part in some])
            faces = self._seen(frame.picture, frame.number, detections)
            results.append(faces if _all_found(frame.expected, faces) else None)
        return results

    def _seen(self, picture: Image, number: int, faces: Detections) -> list[SeenFace]:
        rows = zip(faces.boxes, faces.landmarks, faces.scores, strict=True)
        large = compress(rows, large_enough(faces.boxes, self._min_face_pixels / number))
        return [seen_face(picture, number, *row) for row in islice(large, self._max_faces)]


def _all_found(expected: Sequence[FloatArray], faces: Sequence[SeenFace]) -> bool:
    """Whether each expected box has a face of its own: the pairs that overlap most come first."""
    common = overlaps(expected, [one.box for one in faces])
    for _ in expected:
        if not common.size or common.max() <= _SAME:
            return False
        place, index = np.unravel_index(int(common.argmax()), common.shape)
        common[place], common[:, index] = 0, 0
    return True


def _part(picture: Image, box: FloatArray) -> _Part:
    centre = np.asarray(box[:2] + box[2:] / 2, np.float32)
    side = max(_SURROUNDINGS * float(box[2:].max()), float(SIDE))
    size = np.array(picture.shape[1::-1])
    extent = np.minimum(size, round(side))
    corner = np.clip(np.round(centre - side / 2), 0, size - extent).astype(int)
    (left, top), (right, bottom) = corner, corner + extent
    part = picture[top:bottom, left:right]
    return _Part(part, corner.astype(np.float32), centre, _REACH * side)


def _counted(found: Detections, part: _Part) -> Detections:
    """The detections near the expected face, in pixels of the picture."""
    boxes = found.boxes.copy()
    boxes[:, :2] += part.corner
    near = (np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - part.centre) <= part.reach).all(1)
    return Detections(boxes[near], (found.landmarks + part.corner)[near], found.scores[near])


def _joined(parts: Sequence[Detections]) -> Detections:
    """The faces of all parts, each once, the best score first."""
    boxes = np.concatenate([one.boxes for one in parts])
    landmarks = np.concatenate([one.landmarks for one in parts])
    scores = np.concatenate([one.scores for one in parts])
    common = overlaps(boxes, boxes) > _SAME
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not common[index, kept].any():
            kept.append(int(index))
    return Detections(boxes[kept], landmarks[kept], scores[kept])
