"""What a detector finds, and which of its candidates count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from domain.arrays import FloatArray, Image

#: Overlap removal is quadratic; a picture of noise must not make it slow.
MAX_CANDIDATES = 2000

#: Width over height of the narrowest face that is not cut off.
_NARROWEST = 2 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces of one image, best score first. All arrays are float32, all units pixels.

    Attributes:
        boxes: (N, 4): x and y of the upper left corner, width, height; clipped to the image.
        landmarks: (N, 5, 2): right eye, left eye, nose tip, right and left corner of the mouth
            (the subject's own right and left); may be outside the image.
        scores: (N,), 0 to 1.
    """

    boxes: FloatArray
    landmarks: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """Finds faces."""

    @property
    def id(self) -> str:
        """Name and edition of the model."""

    @property
    def provider(self) -> str:
        """The execution provider in use."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image; the images may differ in size."""


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """Which candidates count as faces.

    Attributes:
        threshold: the least score.
        nms_threshold: of two boxes whose intersection over union is more, the better one stays.
        min_face_pixels: the least size of a box; see `large_enough`.
        max_faces: how many of an image's faces are kept.
    """

    threshold: float
    nms_threshold: float
    min_face_pixels: int
    max_faces: int

    def select(
        self,
        boxes: FloatArray,
        landmarks: FloatArray,
        scores: FloatArray,
        image_size: tuple[int, int],
    ) -> Detections:
        """Pick the faces out of a detector's candidates.

        Args:
            boxes: (N, 4), x, y, width, height in pixels of the image.
            landmarks: (N, 5, 2), in pixels of the image.
            scores: (N,).
            image_size: height and width of the image.
        """
        finite = np.isfinite(boxes).all(1) & np.isfinite(landmarks).all((1, 2))
        eligible = np.flatnonzero(finite & (scores >= self.threshold))
        order = eligible[np.argsort(-scores[eligible], kind="stable")][:MAX_CANDIDATES]
        if len(order):
            kept = cv2.dnn.NMSBoxes(
                boxes[order].tolist(), scores[order].tolist(), 0.0, self.nms_threshold
            )
            order = order[np.sort(np.asarray(kept, np.intp).ravel())]
        clipped = _clip(boxes[order], image_size)
        large = large_enough(clipped, self.min_face_pixels)
        order, clipped = order[large][: self.max_faces], clipped[large][: self.max_faces]
        return Detections(clipped, landmarks[order], np.clip(scores[order], 0.0, 1.0))


def large_enough(boxes: FloatArray, pixels: float) -> npt.NDArray[np.bool_]:
    """Which boxes are of a size: the longer side has it, and the shorter one two thirds of it.

    A face is about three quarters as wide as it is high. What is narrower is cut off by the border
    of the image.

    Args:
        boxes: (N, 4), x, y, width, height.
        pixels: the size.
    """
    sides = np.sort(boxes[:, 2:], axis=1)
    return np.asarray((sides[:, 1] >= pixels) & (sides[:, 0] >= pixels * _NARROWEST))


def _clip(boxes: FloatArray, image_size: tuple[int, int]) -> FloatArray:
    height, width = image_size
    limit = np.array([width, height], np.float32)
    upper_left = np.clip(boxes[:, :2], 0, limit)
    lower_right = np.clip(boxes[:, :2] + boxes[:, 2:], 0, limit)
    return np.concatenate([upper_left, lower_right - upper_left], axis=1, dtype=np.float32)
