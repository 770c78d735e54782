"""The detect agent: from an image to the faces in it.

decode -> detect -> align -> embed, in micro-batches that overlap: while one batch is in the
models, the next is being decoded and the one before it sent. Needs Kafka and its models only; S3
is read for claim checks alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from config import metrics
from ml.analyser import AnalysedFace, Analyser
from ml.errors import ImageRejected
from ml.images import Image, ImageLimits, decode
from streams.codec import pack
from streams.delivery import Delivery
from streams.envelope import Envelope, detected_headers
from streams.envelope import decode as read_envelope
from streams.events import DetectedFace, DetectedFaces, EventKind, ImageEvent, Refusal
from streams.failures import Reject, Retry
from streams.publisher import Outgoing, Publisher
from streams.settling import Outcomes
from streams.topics import Topics

#: Fetches what a claim check (``s3://bucket/key``) names.
Claims = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """A message whose image is decoded."""

    delivery: Delivery
    event: ImageEvent
    image: Image


class Detect:
    """Handles batches of ``camera.frames`` or ``photo.uploads``; see `streams.settling.Handler`."""

    def __init__(  # noqa: PLR0913 - the parts of a stage, named once, where the worker is built
        self,
        analyser: Analyser,
        publisher: Publisher,
        topics: Topics,
        *,
        limits: ImageLimits,
        claims: Claims,
        decoders: Executor,
        models: Executor,
    ) -> None:
        """Put the stage together.

        Args:
            analyser: the models.
            publisher: sends what was found.
            topics: names of the topics.
            limits: what is too large to be decoded.
            claims: fetches images that came by claim check.
            decoders: threads that decode.
            models: threads that run the models, as many as the analyser has lanes.
        """
        self._analyser = analyser
        self._publisher = publisher
        self._topics = topics
        self._limits = limits
        self._claims = claims
        self._decoders = decoders
        self._models = models

    async def __call__(self, batch: Sequence[Delivery]) -> Outcomes:
        """Find the faces of every image and send them to ``faces.detected``.

        An image whose store is away is to be tried again, and does not hold up the others.
        """
        outcomes: dict[Delivery, Reject | Retry] = {}
        messages: list[Outgoing] = []
        with metrics.stage("decode"):
            read = await asyncio.gather(*(self._read(delivery) for delivery in batch))
        frames = []
        for delivery, outcome in zip(batch, read, strict=True):
            if isinstance(outcome, _Frame):
                frames.append(outcome)
            elif isinstance(outcome, Retry):
                outcomes[delivery] = outcome
            else:
                outcomes[delivery] = outcome.reject
                messages.extend(self._tell_caller(delivery, outcome))
        detected = await self._analyse(frames)
        messages.extend(self._outgoing(frame.delivery, found) for frame, found in detected)
        with metrics.stage("send_detected"):
            await self._publisher.send_all(messages)
        for frame, found in detected:
            metrics.FACES.labels(topic=frame.delivery.partition.topic).inc(len(found.faces))
            if frame.event.kind is EventKind.FRAME:
                metrics.saw_camera(frame.event.key)
        return outcomes

    async def _read(self, delivery: Delivery) -> "_Frame | _Unreadable | Retry":
        """Open the envelope, fetch the image if it lies elsewhere, decode it."""
        envelope: Envelope | None = None
        try:
            envelope = read_envelope(delivery, self._topics)
            data = await self._claims(envelope.dataref) if envelope.dataref else delivery.value
            image = await asyncio.get_running_loop().run_in_executor(
                self._decoders, decode, data, self._limits
            )
        except Retry as failure:
            return failure
        except Reject as reject:
            return _Unreadable(envelope, reject)
        except ImageRejected as error:
            return _Unreadable(envelope, Reject(error.reason, str(error)))
        return _Frame(delivery, envelope.event, image)

    async def _analyse(self, frames: Sequence[_Frame]) -> list[tuple[_Frame, DetectedFaces]]:
        if not frames:
            return []
        images = [frame.image for frame in frames]
        found = await self._find(images)
        return [
            (frame, self._detected(frame, faces))
            for frame, faces in zip(frames, found, strict=True)
        ]

    async def _find(self, images: Sequence[Image]) -> list[list[AnalysedFace]]:
        """Run the models: one call for all images, or one each where there are several lanes."""
        calls = [images] if self._analyser.lanes == 1 else [[image] for image in images]
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(loop.run_in_executor(self._models, self._run_models, call) for call in calls)
        )
        return [faces for part in found for faces in part]

    def _run_models(self, images: Sequence[Image]) -> list[list[AnalysedFace]]:
        with metrics.stage("models"):
            return self._analyser.analyse(images)

    def _detected(self, frame: _Frame, faces: Sequence[AnalysedFace]) -> DetectedFaces:
        height, width = frame.image.shape[:2]
        keep_measures = frame.event.kind is not EventKind.FRAME
        return DetectedFaces(
            event=frame.event,
            model=self._analyser.embedder.id,
            width=width,
            height=height,
            faces=tuple(_detected(face, keep_measures=keep_measures) for face in faces),
        )

    def _tell_caller(self, delivery: Delivery, unreadable: "_Unreadable") -> list[Outgoing]:
        """Of an upload somebody awaits the answer: the refusal goes on, beside the dead letter."""
        envelope = unreadable.envelope
        if envelope is None or envelope.event.kind is EventKind.FRAME:
            return []
        reject = unreadable.reject
        found = DetectedFaces(
            event=envelope.event,
            model=self._analyser.embedder.id,
            width=0,
            height=0,
            faces=(),
            refusal=Refusal(code=reject.reason, message=str(reject)),
        )
        return [self._outgoing(delivery, found)]

    def _outgoing(self, delivery: Delivery, found: DetectedFaces) -> Outgoing:
        return Outgoing(
            self._topics.detected, delivery.key, pack(found), detected_headers(found.event)
        )


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A message that cannot be processed, and its envelope if that much could be read."""

    envelope: Envelope | None
    reject: Reject


def _detected(face: AnalysedFace, *, keep_measures: bool) -> DetectedFace:
    x, y, width, height = (float(value) for value in face.box)
    return DetectedFace(
        box=(x, y, width, height),
        landmarks=tuple(float(value) for value in face.landmarks.ravel()),  # type: ignore[arg-type]  # ten of them
        score=float(face.score),
        quality=face.quality.score,
        embedding=face.embedding.astype("<f4").tobytes(),
        crop=face.crop,
        measures=face.quality.measures() if keep_measures else {},
    )
