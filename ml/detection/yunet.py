"""YuNet, the default detector.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
Intelligence Research 20, 2023; input and output as opencv_zoo documents them.
"""

from collections.abc import Sequence

import numpy as np

from domain.arrays import FloatArray, Image
from domain.images.image_errors import ModelError
from ml.detection.dense_detector import Candidates, cells, run_detector
from ml.detection.detections import DetectionPolicy, Detections
from ml.detection.letterbox import canvas_size
from ml.runtime.model_registry import YUNET
from ml.runtime.sessions import Session, to_nchw

_STRIDES = (8, 16, 32)
_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]


class YuNet:
    """Face detector; input BGR 0 to 255, sides multiples of 32, candidates free of anchors."""

    id = YUNET.id

    def __init__(self, session: Session, policy: DetectionPolicy, long_side: int) -> None:
        """Wrap a loaded model.

        Raises:
            ModelError: the file is not YuNet of 2023.
        """
        if list(session.output_shapes) != _OUTPUTS:
            raise ModelError(f"not YuNet 2023: the outputs are {list(session.output_shapes)}")
        self._session = session
        self._policy = policy
        self._long_side = long_side

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return self._session.provider

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, with its long side scaled down to the limit."""
        sizes = [canvas_size(image, self._long_side) for image in images]
        return run_detector(
            self._session, self._policy, images, sizes, to_input=to_nchw, decode=self._decode
        )

    def _decode(self, outputs: list[FloatArray], size: tuple[int, int]) -> Candidates:
        levels = []
        for level, stride in enumerate(_STRIDES):
            classes, objects, boxes, points = outputs[level :: len(_STRIDES)]
            scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1)).ravel()
            chosen = np.flatnonzero(scores >= self._policy.threshold)
            cell = cells(size, stride, 1, chosen)
            centre = (cell + boxes[chosen, :2]) * stride
            extent = np.exp(boxes[chosen, 2:]) * stride
            landmarks = (points[chosen].reshape(-1, 5, 2) + cell[:, None]) * stride
            corner = centre - extent / 2
            levels.append(
                Candidates(np.concatenate([corner, extent], 1), landmarks, scores[chosen])
            )
        return Candidates.join(levels)
