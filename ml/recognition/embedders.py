"""Aligned faces to embeddings."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from threading import BoundedSemaphore
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domain.arrays import FloatArray
from domain.images.image_errors import ModelError
from ml.recognition.alignment import ALIGNED_SIZE
from ml.runtime.sessions import Session, to_nchw

#: Runs on a GPU hold at most this many faces, which bounds their memory.
MAX_BATCH = 64

#: Runs in OpenVINO hold this many faces, or one. In int8 a face then takes 0.87 of the time that it
#: takes alone, and no less in batches of 8 or 16 (docs/performance.md, "Batches").
FULL_BATCH = 4

#: Runs in OpenVINO at the same time, also if there are more lanes, because each holds a compiled
#: model in memory. As a run takes milliseconds, other work of a process is its limit before this.
MAX_AT_ONCE = 4


class Embedder(Protocol):
    """Turns aligned faces into embeddings."""

    @property
    def id(self) -> str:
        """Name of the model; embeddings of different models never meet."""

    @property
    def provider(self) -> str:
        """The execution provider in use."""

    @property
    def dimension(self) -> int:
        """Length of an embedding."""

    @property
    def trusted_length(self) -> float:
        """Length from which on a raw embedding is of a face as the model knows them.

        Infinite where that is not known.
        """

    def raw(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Embed (N, 112, 112, 3) uint8 BGR faces as float32 (N, D), as the model gives them."""

    def embed(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """The same at length 1."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a model expects of an RGB value x, 0 to 255, by channel: (x - mean) / deviation."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def apply(self, batch: FloatArray) -> FloatArray:
        """Apply it to RGB values, float32 (N, 3, H, W), in place; returns them."""
        if self != UNCHANGED:
            batch -= np.array(self.mean, np.float32).reshape(3, 1, 1)
            batch /= np.array(self.deviation, np.float32).reshape(3, 1, 1)
        return batch


#: SFace subtracts and scales inside its graph.
UNCHANGED = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class ArcFaceEmbedder:
    """An embedder of the ArcFace family: aligned RGB faces in, one vector a face out.

    SFace is one of them, and so are InsightFace's ArcFace and MobileFaceNet files.
    """

    def __init__(
        self,
        session: Session,
        model_id: str,
        preprocessing: Preprocessing,
        trusted_length: float = inf,
    ) -> None:
        """Wrap a loaded model.

        Args:
            session: the model.
            model_id: its name.
            preprocessing: what it expects.
            trusted_length: see `Embedder.trusted_length`.

        Raises:
            ModelError: the file has another form of input or output.
        """
        shapes = list(session.output_shapes.values())
        if session.input_shape[1:] != (3, ALIGNED_SIZE, ALIGNED_SIZE) or len(shapes) != 1:
            raise ModelError(
                f"not an ArcFace-format embedder: the input is {session.input_shape}, with "
                f"{len(shapes)} outputs; (N, 3, {ALIGNED_SIZE}, {ALIGNED_SIZE}) and one are due"
            )
        dimension = shapes[0][-1] if len(shapes[0]) == 2 else None  # noqa: PLR2004 - (N, D)
        if dimension is None:
            raise ModelError(f"not an ArcFace-format embedder: the output is {shapes[0]}")
        self.id = model_id
        self.dimension = dimension
        self.trusted_length = trusted_length
        self._session = session
        self._preprocessing = preprocessing
        limited = session.provider == "openvino"
        self._running: AbstractContextManager[object] = (
            BoundedSemaphore(MAX_AT_ONCE) if limited else nullcontext()
        )

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return self._session.provider

    def embed(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Embed (N, 112, 112, 3) uint8 BGR faces as float32 (N, D) of length 1."""
        return unit_rows(self.raw(aligned))

    def raw(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Embed (N, 112, 112, 3) uint8 BGR faces as float32 (N, D), as the model gives them."""
        runs = [np.zeros((0, self.dimension), np.float32)]
        start = 0
        while start < len(aligned):
            size = self._session.batch_size(min(len(aligned) - start, MAX_BATCH), FULL_BATCH)
            runs.append(self._run(aligned[start : start + size]))
            start += size
        return np.concatenate(runs)

    def _run(self, faces: Sequence[NDArray[np.uint8]]) -> FloatArray:
        batch = self._preprocessing.apply(to_nchw(faces, rgb=True))
        with self._running:
            return self._session.run(batch)[0]


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Bring each row of float32 (N, D) to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
