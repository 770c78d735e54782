"""Faces of frames, with what following them needs."""

from dataclasses import dataclass

import cv2
import numpy as np

from domain.arrays import FloatArray, Image
from ml.recognition.alignment import align
from ml.recognition.face_quality import assess

#: Least quality of a face whose embedding can tell people apart.
EVIDENCE = 0.35

_LOOK_SIDE = 16
# The inner part of an aligned face: eyes to mouth, without hair and background.
_INNER = slice(16, 96)


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """A face that the detector found in a frame.

    Attributes:
        box: float32 (4,): x, y, width, height in pixels of the frame.
        landmarks: float32 (5, 2), in the order of `ml.detection.detections.Detections`.
        score: the detector's confidence, 0 to 1.
        quality: fitness for recognition, 0 to 1.
        look: float32 (256,), see `look_of`.
    """

    box: FloatArray
    landmarks: FloatArray
    score: float
    quality: float
    look: FloatArray


def seen_face(
    picture: Image, number: int, box: FloatArray, landmarks: FloatArray, score: float
) -> SeenFace:
    """A face that was detected in a picture that may be smaller than its frame.

    The quality is measured on the picture, without the check that the face is upright.

    Args:
        picture: uint8 (H, W, 3), BGR.
        number: by which both sides of the frame were divided.
        box: float32 (4,), in pixels of the picture.
        landmarks: float32 (5, 2), the same.
        score: the detector's confidence.
    """
    aligned = align(picture, landmarks)
    quality = assess(box * number, landmarks, aligned, float(score)).score
    return SeenFace(box * number, landmarks * number, float(score), quality, look_of(aligned))


def look_of(aligned: Image) -> FloatArray:
    """A small picture of a face, so that the product of two is their correlation.

    Args:
        aligned: uint8 (112, 112, 3), BGR.

    Returns:
        float32 (256,), mean 0 and length 1; zeros where the face has no contrast.
    """
    grey = cv2.cvtColor(aligned[_INNER, _INNER], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA)
    values = small.ravel().astype(np.float32)
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 0 else values
