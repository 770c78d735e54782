"""The detect agent: from an image to the faces in it.

decode -> detect -> align -> embed, in micro-batches that overlap: while one batch is in the models,
the next is decoded and the previous one is sent. It needs only Kafka and its models; S3 is read
only for claim checks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

from agents.detect.ordered_batches import Turns
from agents.detect.self_test import good_messages, is_as_sent
from config.observability import metrics
from domain.events import DetectedFace, DetectedFaces, EventKind
from domain.failures import Reject, Retry
from domain.images.image_errors import ImageRejected
from domain.memory_budget import Budget, groups
from domain.refusals import refusal_of_dead_letter
from ml.images.decoding import Image, ImageHeader, ImageLimits, decode_inspected, inspect
from ml.recognition.face_analyser import AnalysedFace, Analyser
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import DEFAULT_CLOCKS, Envelope, detected_headers
from streams.contract.envelope import decode as read_envelope
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.contract.value_codec import pack
from streams.processing.stage import Outcomes, Stage

logger = logging.getLogger(__name__)

#: Number of encoded images of claim checks in memory at the same time, each at most
#: `ImageLimits.max_bytes`: enough to fetch one batch while another is decoded.
CLAIMS_AT_ONCE = 16

_BYTES_PER_PIXEL = 3

#: Fetches what a claim check (``s3://bucket/key``) names.
Fetch = Callable[[str], Awaitable[bytes]]

Good = TypeVar("Good")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A message whose image is fetched and inspected, but not decoded yet."""

    message: Message
    envelope: Envelope
    data: bytes
    header: ImageHeader


@dataclass(frozen=True, slots=True)
class _Frame:
    """A message whose image is decoded."""

    message: Message
    envelope: Envelope
    image: Image


class Detect(Stage):
    """Processes batches of frames or uploads; keeps no state between batches."""

    def __init__(  # noqa: PLR0913 - the parts of a stage, named once, where the worker is built
        self,
        analyser: Analyser,
        publisher: Publisher,
        topics: Topics,
        *,
        limits: ImageLimits,
        claims: Fetch,
        decoders: Executor,
        models: Executor,
        image_memory: int,
        policy: str,
        clocks: ClockPolicy = DEFAULT_CLOCKS,
    ) -> None:
        """Create the stage.

        Args:
            analyser: the models.
            publisher: sends the results.
            topics: names of the topics.
            limits: limits of images that are decoded.
            claims: fetches the images of claim checks.
            decoders: threads that decode.
            models: threads that run the models, as many as the analyser has lanes.
            image_memory: bytes for all images that are being decoded or are decoded.
            policy: digest of the rules for images; see `agents.upload_policies`.
            clocks: how far a camera's clock may be wrong.
        """
        self._analyser = analyser
        self._publisher = publisher
        self._topics = topics
        self._limits = limits
        self._clocks = clocks
        self._claims = claims
        self._decoders = decoders
        self._models = models
        self._memory = Budget(image_memory)
        self._claimed = Budget(CLAIMS_AT_ONCE)
        self._turns = Turns()
        self._policy = policy

    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Find the faces of every image and send them to ``faces.detected``.

        An image whose store is unavailable is retried and does not delay the others. The results of
        a camera's images that were sent in their messages are sent in the order of the calls.
        """
        inline_keys = {one.key for one in batch if one.value and one.key is not None}
        with self._turns.take(inline_keys) as turn:
            return await self._process_in_turn(batch, turn)

    async def self_test(self) -> bool:
        """Whether this worker can read valid messages, decode their images and run the models."""
        opened, refused = _split(
            await asyncio.gather(*map(self._open, good_messages(self._topics)))
        )
        frames, undecodable = _split(await asyncio.gather(*map(self._decode, opened)))
        for unreadable in (*refused, *undecodable):
            logger.error("this worker refuses a valid picture: %s", unreadable.failure)
        if refused or undecodable or not all(is_as_sent(frame.image) for frame in frames):
            return False
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._models, self._analyser.prove, frames[0].image)
        return True

    async def notify_caller(self, message: Message, reject: Reject) -> None:
        """Notify the caller of an upload that it is a dead letter, through ``faces.detected``.

        Raises:
            Retry: the broker did not accept it.
            Fatal: this client has no permission to write.
        """
        try:
            envelope = read_envelope(message, self._topics, self._clocks)
        except Reject:
            return  # the upload does not name its caller
        event = envelope.event
        if event.kind is EventKind.FRAME:
            return
        found = DetectedFaces(
            event=event,
            model=self._analyser.embedder.id,
            width=0,
            height=0,
            faces=(),
            refusal=refusal_of_dead_letter(reject),
            policy=self._policy,
            dataref=envelope.dataref,
        )
        await self._publisher.send_all([self._outgoing(message, found)])

    async def _process_in_turn(
        self, batch: Sequence[Message], turn: Callable[[], Awaitable[None]]
    ) -> Outcomes:
        """Find the faces, and send them when it is this batch's turn."""
        async with self._claimed.hold(sum(not message.value for message in batch)):
            opened, unreadable = _split(await asyncio.gather(*map(self._open, batch)))
            detected: list[tuple[Message, DetectedFaces]] = []
            for group in groups(opened, _cost, self._memory.total):
                found_here, undecodable = await self._detect(group)
                detected += found_here
                unreadable += undecodable
        outcomes = {one.message: one.failure for one in unreadable}
        messages = [self._outgoing(message, found) for message, found in detected]
        await turn()
        with metrics.stage("send_detected"):
            await self._publisher.send_all(messages)
        for message, found in detected:
            metrics.FACES.labels(topic=message.partition.topic).inc(len(found.faces))
            if found.event.seen_at is not None:
                metrics.UNTRUSTED_TIMES.labels(topic=message.partition.topic).inc()
            if found.event.kind is EventKind.FRAME:
                metrics.saw_camera(found.event.key)
        return outcomes

    async def _open(self, message: Message) -> "_Opened | _Unreadable":
        """Read the envelope, fetch the image of a claim check, inspect the image's header."""
        try:
            envelope = read_envelope(message, self._topics, self._clocks)
            data = await self._claims(envelope.dataref) if envelope.dataref else message.value
            return _Opened(message, envelope, data, inspect(data, self._limits))
        except (Reject, Retry) as failure:
            return _Unreadable(message, failure)
        except ImageRejected as error:
            return _Unreadable(message, Reject(error.reason, str(error)))

    async def _detect(
        self, group: Sequence[_Opened]
    ) -> "tuple[list[tuple[Message, DetectedFaces]], list[_Unreadable]]":
        """Decode images that fit into the memory budget together, and find their faces."""
        async with self._memory.hold(sum(map(_cost, group))) as share:
            with metrics.stage("decode"):
                decoded = await asyncio.gather(*map(self._decode, group))
            frames, unreadable = _split(decoded)
            share.shrink(_BYTES_PER_PIXEL * sum(one.header.pixels for one in group))
            found = await self._analyse(frames)
        return [(frame.message, faces) for frame, faces in found], unreadable

    async def _decode(self, opened: _Opened) -> "_Frame | _Unreadable":
        try:
            image = await asyncio.get_running_loop().run_in_executor(
                self._decoders, decode_inspected, opened.data, opened.header
            )
        except ImageRejected as error:
            return _Unreadable(opened.message, Reject(error.reason, str(error)))
        return _Frame(opened.message, opened.envelope, image)

    async def _analyse(self, frames: Sequence[_Frame]) -> list[tuple[_Frame, DetectedFaces]]:
        if not frames:
            return []
        images = [frame.image for frame in frames]
        # A face that may become a template is checked a second time, whatever its embedding.
        found = await self._find(images, check_all=any(map(_is_upload, frames)))
        return [
            (frame, self._detected(frame, faces))
            for frame, faces in zip(frames, found, strict=True)
        ]

    async def _find(self, images: Sequence[Image], *, check_all: bool) -> list[list[AnalysedFace]]:
        """Run the models: one call for each lane's share, because batches of faces are faster."""
        calls = _shares(images, self._analyser.lanes)
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._models, partial(self._run_models, call, check_all=check_all)
                )
                for call in calls
            )
        )
        return [faces for part in found for faces in part]

    def _run_models(self, images: Sequence[Image], *, check_all: bool) -> list[list[AnalysedFace]]:
        with metrics.stage("models"):
            return self._analyser.analyse(images, check_all=check_all)

    def _detected(self, frame: _Frame, faces: Sequence[AnalysedFace]) -> DetectedFaces:
        height, width = frame.image.shape[:2]
        event = frame.envelope.event
        is_upload = _is_upload(frame)
        return DetectedFaces(
            event=event,
            model=self._analyser.embedder.id,
            width=width,
            height=height,
            faces=tuple(_detected(face, keep_measures=is_upload) for face in faces),
            policy=self._policy if is_upload else "",
            dataref=frame.envelope.dataref if is_upload else None,
        )

    def _outgoing(self, message: Message, found: DetectedFaces) -> Outgoing:
        return Outgoing(
            self._topics.detected, message.key, pack(found), detected_headers(found.event)
        )


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A message that cannot be processed, either now or ever."""

    message: Message
    failure: Reject | Retry


def _is_upload(frame: _Frame) -> bool:
    return frame.envelope.event.kind is not EventKind.FRAME


def _shares(images: Sequence[Image], lanes: int) -> list[Sequence[Image]]:
    """At most so many runs of consecutive images, as equal in number as they can be."""
    count = min(lanes, len(images))
    ends = [len(images) * number // count for number in range(count + 1)]
    return [images[start:end] for start, end in pairwise(ends)]


def _cost(opened: _Opened) -> int:
    return opened.header.decoding_bytes


def _split(outcomes: Iterable[Good | _Unreadable]) -> tuple[list[Good], list[_Unreadable]]:
    """Split outcomes into those that can be processed further and those that cannot."""
    good: list[Good] = []
    unreadable: list[_Unreadable] = []
    for outcome in outcomes:
        if isinstance(outcome, _Unreadable):
            unreadable.append(outcome)
        else:
            good.append(outcome)
    return good, unreadable


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
        reliable=face.quality.reliable,
    )
