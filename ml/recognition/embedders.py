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
from ml.runtime.model_registry import mirror_model_id
from ml.runtime.sessions import Session, to_nchw

#: Runs on a GPU hold at most this many faces, which bounds their memory.
MAX_BATCH = 64


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

    def warm_up(self) -> None:
        """Do every kind of run once."""


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


@dataclass(frozen=True, slots=True)
class Runs:
    """How a model is run.

    Attributes:
        full_batch: faces of a run where the runtime compiles the model for each batch size; what is
            left of them runs one by one.
        at_once: runs at the same time, each of which may hold a compiled model in memory; None is
            no limit.
    """

    full_batch: int = 1
    at_once: int | None = None


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
        runs: Runs = Runs(),
    ) -> None:
        """Wrap a loaded model.

        Args:
            session: the model.
            model_id: its name.
            preprocessing: what it expects.
            trusted_length: see `Embedder.trusted_length`.
            runs: how it is run; of single faces, without a limit, by default.

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
        self._full_batch = runs.full_batch
        self._running: AbstractContextManager[object] = (
            nullcontext() if runs.at_once is None else BoundedSemaphore(runs.at_once)
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
            size = self._session.batch_size(min(len(aligned) - start, MAX_BATCH), self._full_batch)
            runs.append(self._run(aligned[start : start + size]))
            start += size
        return np.concatenate(runs)

    def warm_up(self) -> None:
        """Run a full batch, and one face alone."""
        blank = np.zeros((ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)
        for size in {1, self._full_batch}:
            self.raw([blank] * size)

    def _run(self, faces: Sequence[NDArray[np.uint8]]) -> FloatArray:
        batch = self._preprocessing.apply(to_nchw(faces, rgb=True))
        with self._running:
            return self._session.run(batch)[0]


class MirrorEmbedder:
    """Embeds each face and its mirror image, and returns the mean of both.

    Faces are nearly symmetric, embedders are not quite: the mean has less of what the side that the
    light comes from, or the pose, adds to an embedding (the "flip" test of J. Deng et al.,
    "ArcFace", CVPR 2019). A face and its mirror image have the same embedding.
    """

    def __init__(self, embedder: Embedder, trusted_length: float = inf) -> None:
        """Wrap an embedder.

        Args:
            embedder: it may run in batches of two, which then are a face and its mirror image.
            trusted_length: see `Embedder.trusted_length`; of the mean of two raw embeddings, which
                is at most as long as the longer one.
        """
        self._embedder = embedder
        self.id = mirror_model_id(embedder.id)
        self.dimension = embedder.dimension
        self.trusted_length = trusted_length

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return self._embedder.provider

    def embed(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Embed (N, 112, 112, 3) uint8 BGR faces as float32 (N, D) of length 1."""
        return unit_rows(self.raw(aligned))

    def raw(self, aligned: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """The mean of the raw embeddings of a face and its mirror image, float32 (N, D)."""
        pairs = [image for face in aligned for image in (face, np.ascontiguousarray(face[:, ::-1]))]
        raw = self._embedder.raw(pairs)
        return np.asarray((raw[0::2] + raw[1::2]) / 2, np.float32)

    def warm_up(self) -> None:
        """Run the only kind of batch that it needs: one face."""
        self.raw([np.zeros((ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)])


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Bring each row of float32 (N, D) to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
