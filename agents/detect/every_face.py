"""Embeds every face of an image: of photos always, of frames where faces are not tracked."""

import asyncio
from collections.abc import Sequence

from agents.detect.detected_faces import photographed, seen
from agents.detect.image_reading import ImageReader, Opened, Part, Unreadable, split
from agents.detect.model_lanes import ModelLanes
from config.observability import metrics
from domain.arrays import Image
from domain.events import DetectedFaces
from ml.recognition.face_analyser import AnalysedFace

_BYTES_PER_PIXEL = 3

#: Images with their faces, and those that could not be decoded.
Found = tuple[list[tuple[Opened, DetectedFaces]], list[Unreadable]]


class EveryFace:
    """Finds the faces of images one by one, whatever came before."""

    def __init__(self, reader: ImageReader, lanes: ModelLanes, policy: str) -> None:
        """Use this reader and these models.

        Args:
            reader: decodes.
            lanes: the models.
            policy: digest of the rules for images; see `agents.upload_policies`.
        """
        self._reader = reader
        self._lanes = lanes
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
        results = [
            (opened, self._detected(opened, image, faces))
            for (opened, image), faces in zip(images, found, strict=True)
        ]
        return results, unreadable

    async def _decode(self, opened: Opened) -> tuple[Opened, Image] | Unreadable:
        image = await self._reader.decode(opened)
        return image if isinstance(image, Unreadable) else (opened, image)

    def _detected(
        self, opened: Opened, image: Image, faces: Sequence[AnalysedFace]
    ) -> DetectedFaces:
        height, width = image.shape[:2]
        return DetectedFaces(
            event=opened.envelope.event,
            model=self._lanes.model,
            width=width,
            height=height,
            faces=tuple(photographed(one) if opened.is_upload else seen(one) for one in faces),
            policy=self._policy if opened.is_upload else "",
            dataref=opened.envelope.dataref if opened.is_upload else None,
        )
