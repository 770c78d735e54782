"""Is this face fit for recognition? A pure function of what was measured on it.

Six parts, each 0 to 1, are ramps between a value that is useless and one that is as good as any;
the weakest part is the score, so that a refusal can name its cause. The ramps are set on the
labelled portraits and LFW pictures of the project: of these 143, 138 score 0.35 or more (three of
the others are smaller than 32 pixels, two are profiles); copies of them that are blurred
(Gaussian, sigma 1/80 of the picture), dark, or 20 pixels small score less.
"""

from dataclasses import dataclass
from math import log

import cv2
import numpy as np

from domain.arrays import FloatArray, Image
from ml.recognition.uprightness import LEAST_MARGIN, NOT_CHECKED

# The inner part of an aligned face: eyes to mouth, without hair and background.
_INNER = slice(16, 96)


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was measured on a face, and what it is worth.

    Attributes:
        face_pixels: the shorter side of the box.
        sharpness: variance of the Laplacian of the aligned face (Pech-Pacheco et al., "Diatom
            autofocusing in brightfield microscopy", ICPR 2000), in squared grey levels.
        brightness: mean grey level of the aligned face, 0 to 255.
        contrast: standard deviation of its grey levels.
        asymmetry: distance of the nose from the middle between eyes and mouth, along the line
            of the eyes, in eye distances; 0 is frontal, 0.5 nearly profile.
        eye_mouth_ratio: eye distance over the distance from eyes to mouth, about 1 when frontal
            and small in profile.
        detector_score: the detector's confidence.
        upright_margin: the detector's score of the aligned face minus that of the best turned one,
            -1 to 1 (`ml.recognition.uprightness`).
    """

    face_pixels: float
    sharpness: float
    brightness: float
    contrast: float
    asymmetry: float
    eye_mouth_ratio: float
    detector_score: float
    upright_margin: float = NOT_CHECKED

    @property
    def reliable(self) -> bool:
        """Whether an embedding of this face says who it is: the face is human, and upright."""
        return self.upright_margin >= LEAST_MARGIN

    @property
    def parts(self) -> dict[str, float]:
        """What each part is worth, 0 to 1."""
        return {
            "size": _ramp(self.face_pixels, 16, 64),
            "sharpness": _ramp(log(max(self.sharpness, 1e-9)), log(10), log(150)),
            "exposure": min(
                _ramp(self.brightness, 15, 60),
                _ramp(255 - self.brightness, 15, 60),
                _ramp(self.contrast, 5, 25),
            ),
            "frontality": min(
                _ramp(self.asymmetry, 0.6, 0.15), _ramp(self.eye_mouth_ratio, 0.4, 0.8)
            ),
            "detection": _ramp(self.detector_score, 0.5, 0.8),
            "uprightness": _ramp(self.upright_margin, LEAST_MARGIN - 0.01, LEAST_MARGIN + 0.01),
        }

    @property
    def score(self) -> float:
        """Fitness for recognition, 0 to 1: the worth of the weakest part."""
        return min(self.parts.values())

    @property
    def weakest(self) -> str:
        """Name of the part that is worth least."""
        parts = self.parts
        return min(parts, key=parts.__getitem__)

    def measures(self) -> dict[str, float]:
        """The measured values by name, for the answer of a refusal."""
        return {
            "face_pixels": self.face_pixels,
            "sharpness": self.sharpness,
            "brightness": self.brightness,
            "contrast": self.contrast,
            "asymmetry": self.asymmetry,
            "eye_mouth_ratio": self.eye_mouth_ratio,
            "detector_score": self.detector_score,
            "upright_margin": self.upright_margin,
        }


def assess(
    box: FloatArray,
    landmarks: FloatArray,
    aligned: Image,
    score: float,
    upright_margin: float = NOT_CHECKED,
) -> QualityReport:
    """Measure a face.

    Args:
        box: x, y, width, height in pixels.
        landmarks: (5, 2) pixels, in the order of `ml.detection.detections.Detections`.
        aligned: uint8 (112, 112, 3), the face after `ml.recognition.alignment.align`.
        score: the detector's confidence.
        upright_margin: see `QualityReport`.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY)
    inner = grey[_INNER, _INNER]
    mean, deviation = cv2.meanStdDev(inner)
    _, edges = cv2.meanStdDev(cv2.Laplacian(inner, cv2.CV_32F))
    asymmetry, ratio = _pose(landmarks)
    return QualityReport(
        face_pixels=float(min(box[2], box[3])),
        sharpness=float(edges[0, 0]) ** 2,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        asymmetry=asymmetry,
        eye_mouth_ratio=ratio,
        detector_score=float(score),
        upright_margin=float(upright_margin),
    )


def _pose(landmarks: FloatArray) -> tuple[float, float]:
    """Asymmetry and eye-mouth ratio, independent of the head's tilt in the image plane."""
    right_eye, left_eye, nose, right_mouth, left_mouth = landmarks.astype(np.float64)
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    eye_distance = float(np.linalg.norm(left_eye - right_eye))
    length = float(np.linalg.norm(mouth - eyes))
    if eye_distance < 1 or length < 1:  # less than a pixel: no pose can be determined
        return 1.0, 0.0
    along = (left_eye - right_eye) / eye_distance
    offset = float((nose - (eyes + mouth) / 2) @ along)
    return abs(offset) / eye_distance, eye_distance / length


def _ramp(value: float, useless: float, good: float) -> float:
    return min(max((value - useless) / (good - useless), 0.0), 1.0)
