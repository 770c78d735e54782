"""What the models alone take on the frames of a scene, and OpenCV's own classes."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from benchmarks.inference import models
from benchmarks.load.frames import Case, FrameSet, Picture
from benchmarks.video.counts import Counts
from benchmarks.video.scenes import Scene
from config.settings import ModelSettings
from ml.recognition.alignment import align
from ml.recognition.face_analyser import Analyser

#: Frames of a scene that the models are measured on.
_FRAMES = 24
_CPU = "cpu_ms_per_frame"


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """CPU milliseconds of the models, with as many runs at once as the pipeline has.

    Attributes:
        detection: of a frame.
        embedding: of a face.
    """

    detection: float
    embedding: float

    @classmethod
    def measure(cls, analyser: Analyser, frames: FrameSet, seconds: float) -> Self:
        """Run both on the frames of a scene, each for half the time."""
        images, lanes = frames.images, analyser.lanes
        faces = [
            align(image, landmarks)
            for image in images
            for landmarks in analyser.detector.detect([image])[0].landmarks
        ]
        detection = models.measure(
            lambda number: analyser.detector.detect([images[number % len(images)]]),
            seconds / 2,
            lanes,
        )
        if not faces:
            return cls(detection[_CPU], 0.0)
        embedding = models.measure(
            lambda number: analyser.embedder.embed([faces[number % len(faces)]]),
            seconds / 2,
            lanes,
        )
        return cls(detection[_CPU], embedding[_CPU])

    def of(self, counts: Counts, frames: int) -> float:
        """Milliseconds a frame where every frame was looked at, and so many faces were embedded."""
        return self.detection + self.embedding * counts.embedded / frames


def opencv_rate(frames: FrameSet, settings: ModelSettings, seconds: float) -> dict[str, float]:
    """OpenCV's FaceDetectorYN and FaceRecognizerSF on decoded frames, one after the other."""
    return models.measure(models.opencv(frames, settings), seconds)


def sampled(scene: Scene) -> FrameSet:
    """Some frames of all cameras of a scene, decoded."""
    width, height = map(int, scene.size.split("x"))
    every = [jpeg for turn in zip(*scene.cameras, strict=True) for jpeg in turn]
    jpegs = every[:: max(1, len(every) // _FRAMES)][:_FRAMES]
    return FrameSet(Case(width, height, 0), [_decoded(jpeg) for jpeg in jpegs], jpegs)


def _decoded(jpeg: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)
