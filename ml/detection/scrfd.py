"""SCRFD detectors in InsightFace's ONNX format, brought by the user.

Source: J. Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR
2022; input and output as InsightFace's ``*_bnkps`` files have them.
"""

from collections.abc import Sequence

import numpy as np

from domain.arrays import FloatArray, Image
from domain.images.image_errors import ModelError
from ml.detection.dense_detector import Candidates, cells, run_detector
from ml.detection.detections import DetectionPolicy, Detections
from ml.detection.letterbox import canvas_size
from ml.runtime.sessions import Session, to_nchw

_STRIDES = (8, 16, 32)
_ANCHORS = 2
# Width of the outputs: three levels each of scores, box distances, landmark offsets.
_WIDTHS = [1, 1, 1, 4, 4, 4, 10, 10, 10]
_MEAN = np.float32(127.5)
_DEVIATION = np.float32(128.0)


class Scrfd:
    """Face detector; input RGB, (x - 127.5) / 128, two anchors a cell, scores already sigmoid."""

    def __init__(
        self, session: Session, policy: DetectionPolicy, long_side: int, model_id: str
    ) -> None:
        """Wrap a loaded model.

        Args:
            session: the model.
            policy: what counts as a face.
            long_side: larger pictures are scaled down; without effect where the file fixes its
                input size.
            model_id: name of the model, unique to its weights.

        Raises:
            ModelError: the file is not SCRFD with landmarks.
        """
        widths = [shape[-1] for shape in session.output_shapes.values() if shape]
        if widths != _WIDTHS:
            raise ModelError(
                "not SCRFD with landmarks: nine outputs are expected, scores, boxes and "
                f"landmarks at three strides; their widths are {widths}"
            )
        self.id = model_id
        self._session = session
        self._policy = policy
        self._long_side = long_side

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return self._session.provider

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image."""
        _, _, height, width = self._session.input_shape
        sizes = [
            (height, width)
            if height is not None and width is not None
            else canvas_size(image, self._long_side)
            for image in images
        ]
        return run_detector(
            self._session, self._policy, images, sizes, to_input=_to_input, decode=self._decode
        )

    def _decode(self, outputs: list[FloatArray], size: tuple[int, int]) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            scores, distances, offsets = outputs[level :: len(_STRIDES)]
            chosen = np.flatnonzero(scores.ravel() >= self._policy.threshold)
            centre = cells(size, stride, _ANCHORS, chosen) * stride
            before, after = np.split(distances[chosen] * stride, 2, axis=1)
            landmarks = centre[:, None] + offsets[chosen].reshape(-1, 5, 2) * stride
            levels.append(
                Candidates(
                    np.concatenate([centre - before, before + after], 1),
                    landmarks,
                    scores.ravel()[chosen],
                )
            )
        return Candidates.join(levels)


def _to_input(canvases: list[Image]) -> FloatArray:
    batch = to_nchw(canvases, rgb=True)
    batch -= _MEAN
    batch /= _DEVIATION
    return batch
