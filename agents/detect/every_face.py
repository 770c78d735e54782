"""Embeds every face of an image: of photos always, of frames where faces are not tracked."""

import asyncio
from collections.abc import Sequence

from agents.detect.detected_faces import photographed, seen
from agents.detect.image_reading import ImageReader, Opened, Part, Unreadable, split
from agents.detect.liveness_checks import EmbeddedIn, LivenessChecks
from agents.detect.model_lanes import ModelLanes
from agents.detect.other_embeddings import OtherEmbeddings
from config.observability import metrics
from domain.arrays import Image
from domain.events import DetectedFaces
from domain.liveness_result import Liveness
from ml.recognition.face_analyser import AnalysedFace

_BYTES_PER_PIXEL = 3

#: Images with their faces, and those that could not be decoded.
Found = tuple[list[tuple[Opened, DetectedFaces]], list[Unreadable]]


class EveryFace:
    """Finds the faces of images one by one, whatever came before."""

    def __init__(
        self,
        reader: ImageReader,
        lanes: ModelLanes,
        checks: LivenessChecks,
        others: OtherEmbeddings,
        policy: str,
    ) -> None:
        """Use this reader and these models.

        Args:
            reader: decodes.
            lanes: the models.
            checks: whether faces are people.
            others: what the models say that do not decide.
            policy: digest of the rules for images; see `agents.upload_policies`.
        """
        self._reader = reader
        self._lanes = lanes
        self._checks = checks
        self._others = others
        self._policy = policy

    async def find(self, part: Part) -> Found:
        """Find the faces of images; gives back the memory that their pixels do not need."""
        with metrics.stage("decode"):
            decoded = await asyncio.gather(*map(self._decode, part.images))
        images, unreadable = split(decoded)
        part.share.shrink(_BYTES_PER_PIXEL * sum(one.header.pixels for one in part.images))
        if not images:
            return [], unreadable
        # A face that may become a template is checked a second time, whatever its embedding.
        found = await self._lanes.analyse(
            [image for _, image in images], check_all=any(one.is_upload for one, _ in images)
        )
        checked = iter(
            await self._checks.check(
                [
                    EmbeddedIn(opened.envelope.event, image, face.box)
                    for (opened, image), faces in zip(images, found, strict=True)
                    for face in faces
                ]
            )
        )
        results = [
            (
                opened,
                await self._others.add(
                    image,
                    dict(enumerate(faces)),
                    self._detected(opened, image, [(face, next(checked)) for face in faces]),
                ),
            )
            for (opened, image), faces in zip(images, found, strict=True)
        ]
        pictures = (image for _, image in images)
        return await asyncio.gather(*map(self._with_snapshot, results, pictures)), unreadable

    async def _with_snapshot(
        self, result: tuple[Opened, DetectedFaces], picture: Image
    ) -> tuple[Opened, DetectedFaces]:
        """The result; of a frame with faces, which are all embedded, with the frame itself."""
        opened, found = result
        if opened.is_upload or not found.faces:
            return result
        return opened, await self._reader.with_snapshot(opened, picture, found)

    async def _decode(self, opened: Opened) -> tuple[Opened, Image] | Unreadable:
        image = await self._reader.decode(opened)
        return image if isinstance(image, Unreadable) else (opened, image)

    def _detected(
        self,
        opened: Opened,
        image: Image,
        faces: Sequence[tuple[AnalysedFace, Liveness | None]],
    ) -> DetectedFaces:
        mode = self._checks.mode(opened.envelope.event)
        to_detected = photographed if opened.is_upload else seen
        height, width = image.shape[:2]
        return DetectedFaces(
            event=opened.envelope.event,
            model=self._lanes.model,
            width=width,
            height=height,
            faces=tuple(to_detected(one, mode, liveness) for one, liveness in faces),
            policy=self._policy if opened.is_upload else "",
            dataref=opened.envelope.dataref if opened.is_upload else None,
        )
