"""Runs the models in several threads at once, each with its share of a batch."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from typing import TypeVar

from config.observability import metrics
from domain.arrays import Image
from ml.recognition.alignment import align
from ml.recognition.embedders import Embedder
from ml.recognition.face_analyser import AnalysedFace, Analyser, FoundFace
from ml.tracking.frame_detector import Nearby
from ml.tracking.seen_faces import SeenFace

Item = TypeVar("Item")
Result = TypeVar("Result")


class ModelLanes:
    """An analyser in a pool of threads; batches of images and faces are faster than single ones."""

    def __init__(
        self, analyser: Analyser, executor: Executor, others: Sequence[Embedder] = ()
    ) -> None:
        """Run the models.

        Args:
            analyser: the models.
            executor: threads that run them, as many as the analyser has lanes.
            others: embedders that embed what is enrolled, too, and frames in shadow.
        """
        self._analyser = analyser
        self._executor = executor
        self._others = others

    @property
    def model(self) -> str:
        """Id of the embedder."""
        return self._analyser.embedder.id

    @property
    def long_side(self) -> int:
        """Of the detector's canvas for a whole frame, in pixels."""
        return self._analyser.frames.long_side

    async def analyse(
        self, images: Sequence[Image], *, check_all: bool
    ) -> list[list[AnalysedFace]]:
        """Find and embed all faces of images; see `Analyser.analyse`."""
        return await self.share(images, partial(self._analyser.analyse, check_all=check_all))

    async def find(self, pictures: Sequence[tuple[Image, int]]) -> list[list[SeenFace]]:
        """Find the faces of frames; see `FrameDetector.find`."""
        return await self.share(pictures, self._analyser.frames.find)

    async def find_nearby(self, frames: Sequence[Nearby]) -> list[list[SeenFace] | None]:
        """Find the faces of frames again; see `FrameDetector.find_nearby`."""
        return await self.share(frames, self._analyser.frames.find_nearby)

    async def describe(self, faces: Sequence[FoundFace]) -> list[AnalysedFace]:
        """Embed faces that were found; see `Analyser.describe`."""
        return await self.share(faces, self._analyser.describe)

    async def embed_by_others(
        self, image: Image, faces: Sequence[AnalysedFace]
    ) -> list[dict[str, bytes]]:
        """The embeddings of an image's faces by the other embedders, by their ids.

        Args:
            image: uint8 (H, W, 3), BGR, upright.
            faces: what was found in it.
        """
        if not self._others or not faces:
            return [{} for _ in faces]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._embed_by_others, image, faces)

    def _embed_by_others(
        self, image: Image, faces: Sequence[AnalysedFace]
    ) -> list[dict[str, bytes]]:
        aligned = [align(image, face.landmarks) for face in faces]
        rows = {one.id: one.embed(aligned) for one in self._others}
        return [
            {model: of_model[index].astype("<f4").tobytes() for model, of_model in rows.items()}
            for index in range(len(faces))
        ]

    async def prove(self, image: Image) -> None:
        """Do every step once; see `Analyser.prove`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._analyser.prove, image)

    async def share(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result]:
        """Call a function once for each lane's share of the items; results in their order."""
        loop = asyncio.get_running_loop()
        parts = await asyncio.gather(
            *(
                loop.run_in_executor(self._executor, _timed, work, share)
                for share in _shares(items, self._analyser.lanes)
            )
        )
        return [one for part in parts for one in part]


def _timed(work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    with metrics.stage("models"):
        return work(items)


def _shares(items: Sequence[Item], lanes: int) -> list[Sequence[Item]]:
    """At most so many runs of consecutive items, as equal in number as they can be."""
    count = min(lanes, len(items))
    ends = [len(items) * number // count for number in range(count + 1)] if count else []
    return [items[start:end] for start, end in pairwise(ends)]
