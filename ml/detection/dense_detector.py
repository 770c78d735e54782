"""Run an anchor-free detector over letterboxed pictures: what YuNet and SCRFD share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray, Image
from ml.detection.detections import DetectionPolicy, Detections
from ml.detection.letterbox import Letterboxed, batches, letterbox
from ml.runtime.sessions import Session

#: Runs on a GPU hold at most this many pictures, which bounds their memory.
MAX_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidates on one canvas: boxes (N, 4) as x, y, width, height; landmarks (N, 5, 2)."""

    boxes: FloatArray
    landmarks: FloatArray
    scores: FloatArray

    @staticmethod
    def join(levels: Sequence["Candidates"]) -> "Candidates":
        """All levels of a pyramid in one."""
        return Candidates(
            np.concatenate([level.boxes for level in levels]),
            np.concatenate([level.landmarks for level in levels]),
            np.concatenate([level.scores for level in levels]),
        )


def cells(size: tuple[int, int], stride: int, anchors: int, chosen: NDArray[np.intp]) -> FloatArray:
    """Column and row, as float32 (N, 2), of chosen indices into a level's flat output.

    Args:
        size: height and width of the canvas.
        stride: pixels of the canvas for one cell.
        anchors: candidates of one cell, adjacent in the output.
        chosen: (N,) indices.
    """
    columns = size[1] // stride
    cell = chosen // anchors
    return np.stack([cell % columns, cell // columns], axis=1).astype(np.float32)


def run_detector(  # noqa: PLR0913 - the steps of one procedure, each given by its model
    session: Session,
    policy: DetectionPolicy,
    images: Sequence[Image],
    sizes: Sequence[tuple[int, int]],
    *,
    to_input: Callable[[list[Image]], FloatArray],
    decode: Callable[[list[FloatArray], tuple[int, int]], Candidates],
) -> list[Detections]:
    """Letterbox, run, decode and select, batching pictures whose canvases have one size.

    Args:
        session: the model.
        policy: what counts as a face.
        images: uint8 (H, W, 3), BGR.
        sizes: height and width of each picture's canvas.
        to_input: makes the model's input of canvases of one size.
        decode: makes candidates of the outputs for one canvas of the given size.
    """
    found: dict[int, Detections] = {}
    for group in batches(sizes, session.batch_size(MAX_BATCH)):
        boxed = [letterbox(images[index], sizes[index]) for index in group]
        outputs = session.run(to_input([entry.canvas for entry in boxed]))
        for place, index in enumerate(group):
            # InsightFace's files have no batch dimension in their outputs.
            own = [output[place] if output.ndim == 3 else output for output in outputs]  # noqa: PLR2004
            candidates = decode(own, sizes[index])
            found[index] = _select(candidates, boxed[place], images[index], policy)
    return [found[index] for index in range(len(images))]


def _select(
    candidates: Candidates, boxed: Letterboxed, image: Image, policy: DetectionPolicy
) -> Detections:
    corners = boxed.to_image(candidates.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    landmarks = boxed.to_image(candidates.landmarks)
    return policy.select(corners, landmarks, candidates.scores, (image.shape[0], image.shape[1]))
