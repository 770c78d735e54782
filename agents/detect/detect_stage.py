"""The detect agent: from an image to the faces in it.

open -> decode -> detect -> embed, in micro-batches that overlap: while one batch is in the models,
the next is decoded and the previous one is sent. It needs only Kafka and its models; S3 is read
only for claim checks.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor

from agents.detect.every_face import EveryFace, Found
from agents.detect.followed_cameras import FollowedCameras, TrackingPolicy
from agents.detect.followed_faces import FollowedFaces
from agents.detect.image_reading import Fetch, ImageReader, Opened, Part, split
from agents.detect.model_lanes import ModelLanes
from agents.detect.ordered_batches import Step, Turn, Turns
from agents.detect.self_test import good_messages, is_as_sent
from config.observability import metrics
from domain.events import DetectedFaces, EventKind
from domain.failures import Reject
from domain.memory_budget import Budget, groups
from domain.refusals import refusal_of_dead_letter
from ml.images.decoding import ImageLimits
from ml.recognition.face_analyser import Analyser
from ml.runtime.freed_memory import return_freed_memory
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import DEFAULT_CLOCKS, detected_headers
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import pack
from streams.processing.stage import Outcomes, Stage

# Bytes for decoding, far more than ordinary frames take, after which freed memory is given back.
_LARGE = 256 * 1024 * 1024

logger = logging.getLogger(__name__)

#: Number of encoded images of claim checks in memory at the same time, each at most
#: `ImageLimits.max_bytes`: enough to fetch one batch while another is decoded.
CLAIMS_AT_ONCE = 16


class Detect(Stage):
    """Processes batches of frames or uploads; remembers of cameras what following faces needs."""

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
        tracking: TrackingPolicy | None = None,
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
            tracking: how the faces of cameras are followed; None embeds every face.
        """
        self._publisher = publisher
        self._topics = topics
        self._reader = ImageReader(topics, clocks, limits, claims, decoders)
        self._lanes = ModelLanes(analyser, models)
        self._memory = Budget(image_memory)
        self._claimed = Budget(CLAIMS_AT_ONCE)
        self._turns = Turns()
        self._policy = policy
        self._cameras = None if tracking is None else FollowedCameras(tracking)
        self._photos = EveryFace(self._reader, self._lanes, policy)
        self._frames = (
            self._photos
            if self._cameras is None
            else FollowedFaces(self._reader, self._lanes, self._cameras)
        )

    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Find the faces of every image and send them to ``faces.detected``.

        An image whose store is unavailable is retried and does not delay the others. The results of
        a camera's other images are sent in the order of the calls.
        """
        keys = {one.key for one in batch if one.key is not None}
        with self._turns.take(keys) as turn:
            return await self._process_in_turn(batch, turn)

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forget the cameras of these partitions."""
        if self._cameras is not None:
            self._cameras.forget(partitions)

    async def self_test(self) -> bool:
        """Whether this worker can read valid messages, decode their images and run the models."""
        opened, refused = split(
            await asyncio.gather(*map(self._reader.open, good_messages(self._topics)))
        )
        images, undecodable = split(await asyncio.gather(*map(self._reader.decode, opened)))
        for unreadable in (*refused, *undecodable):
            logger.error("this worker refuses a valid picture: %s", unreadable.failure)
        if refused or undecodable or not all(map(is_as_sent, images)):
            return False
        await self._lanes.prove(images[0])
        return True

    async def notify_caller(self, message: Message, reject: Reject) -> None:
        """Notify the caller of an upload that it is a dead letter, through ``faces.detected``.

        Raises:
            Retry: the broker did not accept it.
            Fatal: this client has no permission to write.
        """
        try:
            envelope = self._reader.envelope(message)
        except Reject:
            return  # the upload does not name its caller
        event = envelope.event
        if event.kind is EventKind.FRAME:
            return
        found = DetectedFaces(
            event=event,
            model=self._lanes.model,
            width=0,
            height=0,
            faces=(),
            refusal=refusal_of_dead_letter(reject),
            policy=self._policy,
            dataref=envelope.dataref,
        )
        await self._publisher.send_all([self._outgoing(message, found)])

    async def _process_in_turn(self, batch: Sequence[Message], turn: Turn) -> Outcomes:
        """Find the faces, and send them when it is this batch's turn."""
        async with self._claimed.hold(sum(not message.value for message in batch)):
            opened, unreadable = split(await asyncio.gather(*map(self._reader.open, batch)))
            detected: list[tuple[Opened, DetectedFaces]] = []
            parts = groups(opened, _cost, self._memory.total)
            for number, images in enumerate(parts, start=1):
                await turn.come(Step.MEMORY)
                results, undecodable = await self._find(images, turn, last=number == len(parts))
                detected += results
                unreadable += undecodable
        await turn.come(Step.SEND)
        with metrics.stage("send_detected"):
            await self._publisher.send_all(
                [self._outgoing(one.message, found) for one, found in detected]
            )
        for one, found in detected:
            _count(one.message, found)
        return {one.message: one.failure for one in unreadable}

    async def _find(self, images: Sequence[Opened], turn: Turn, *, last: bool) -> Found:
        """Find the faces of images that fit into the memory together."""
        finder = self._photos if any(one.is_upload for one in images) else self._frames
        cost = sum(map(_cost, images))
        async with self._memory.hold(cost) as share:
            part = Part(images, share, turn, last)
            part.passed(Step.MEMORY)
            found = await finder.find(part)
        if cost >= _LARGE:
            await self._reader.run_alone(return_freed_memory)
        return found

    def _outgoing(self, message: Message, found: DetectedFaces) -> Outgoing:
        return Outgoing(
            self._topics.detected, message.key, pack(found), detected_headers(found.event)
        )


def _count(message: Message, found: DetectedFaces) -> None:
    topic = message.partition.topic
    metrics.FACES.labels(topic=topic).inc(len(found.faces))
    if found.event.seen_at is not None:
        metrics.UNTRUSTED_TIMES.labels(topic=topic).inc()
    if found.event.kind is EventKind.FRAME:
        metrics.saw_camera(found.event.key)


def _cost(opened: Opened) -> int:
    return opened.header.decoding_bytes
