"""Faces to measure the ranges of a model's activations with.

A value outside its range is cut off, and a wider range has coarser steps (255 of them). So the few
faces are also used mirrored, badly aligned, a little darker and brighter, grey and blurred. With
SFace and the pictures of the demo, this set was the best of those tried: the least cosine to
float32 on 197 other faces was 0.979; without changes of light and blur it was 0.945, with strong
contrast, noise and blur 0.95.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from domain.arrays import Image
from ml.detection.detections import Detector
from ml.recognition.alignment import ALIGNED_SIZE, align

_GAINS = (0.75, 1.3)
_BLUR_SIGMA = 1.0
_MIDDLE = ALIGNED_SIZE / 2
# Bad alignments: rotation in degrees, scale, shift in pixels.
_MOVES = ((12.0, 1.0, 0.0), (-12.0, 1.0, 0.0), (0.0, 0.88, 4.0), (0.0, 1.12, -4.0))
Aligned = NDArray[np.uint8]


def aligned_faces(detector: Detector, pictures: Iterable[Image]) -> Iterator[Aligned]:
    """Every face of the pictures, (112, 112, 3), BGR."""
    for picture in pictures:
        (found,) = detector.detect([picture])
        for landmarks in found.landmarks:
            yield align(picture, landmarks)


def largest_face(detector: Detector, picture: Image) -> Aligned | None:
    """The face with the largest box, (112, 112, 3), BGR; None if there is none."""
    (found,) = detector.detect([picture])
    if not len(found):
        return None
    return align(picture, found.landmarks[int(np.argmax(found.boxes[:, 2] * found.boxes[:, 3]))])


def conditions(faces: Iterable[Aligned]) -> Iterator[Aligned]:
    """Each face as it is, mirrored, badly aligned, darker, brighter, grey, and blurred."""
    for face in faces:
        yield face
        yield np.ascontiguousarray(face[:, ::-1])
        for degrees, scale, shift in _MOVES:
            matrix = np.asarray(
                cv2.getRotationMatrix2D((_MIDDLE, _MIDDLE), degrees, scale), np.float64
            )
            matrix[:, 2] += shift
            size = (ALIGNED_SIZE, ALIGNED_SIZE)
            moved = cv2.warpAffine(face, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            yield np.asarray(moved, np.uint8)
        for gain in _GAINS:
            yield np.clip(face * np.float32(gain), 0, 255).astype(np.uint8)
        grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
        yield np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
        yield np.asarray(cv2.GaussianBlur(face, (0, 0), _BLUR_SIGMA), np.uint8)
