"""The detect agent: from an image to the faces in it.

open -> decode -> detect -> embed, in micro-batches that overlap: while one batch is in the models,
the next is decoded and the previous one is sent. It needs only Kafka and its models; S3 is read
only for claim checks.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from msgspec import structs

from agents.detect.every_face import EveryFace, Found
from agents.detect.followed_cameras import FollowedCameras, TrackingPolicy
from agents.detect.followed_faces import FollowedFaces
from agents.detect.image_reading import Fetch, ImageReader, Opened, Part, split
from agents.detect.liveness_checks import NO_LIVENESS, LivenessChecks, LivenessPolicy
from agents.detect.model_lanes import ModelLanes
from agents.detect.ordered_batches import Step, Turn, Turns
from agents.detect.other_embeddings import OtherEmbeddings
from agents.detect.self_test import good_messages, is_as_sent
from config.observability import metrics
from domain.events import DetectedFaces, EventKind
from domain.failures import Reject
from domain.memory_budget import Budget, groups
from domain.refusals.unreadable_uploads import refusal_of_dead_letter
from ml.images.decoding import ImageLimits
from ml.images.frame_snapshots import NO_SNAPSHOTS, SnapshotPolicy
from ml.recognition.embedders import Embedder
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

#: Finds the faces of images.
Finder = EveryFace | FollowedFaces

#: Number of encoded images of claim checks in memory at the same time, each at most
#: `ImageLimits.max_bytes`: enough to fetch one batch while another is decoded.
CLAIMS_AT_ONCE = 16


def _usual(_camera_id: str) -> str:
    """All cameras have one profile."""
    return ""


def _ready() -> None:
    """Nothing has to be loaded."""


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
        snapshots: SnapshotPolicy = NO_SNAPSHOTS,
        liveness: LivenessPolicy = NO_LIVENESS,
        shadow_share: float = 0.0,
        require_ready: Callable[[], None] = _ready,
        profile_of: Callable[[str], str] = _usual,
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
            snapshots: which frames are kept as a whole.
            liveness: which faces are checked to be people.
            shadow_share: of the frames that embedders see which do not decide, 0 to 1.
            require_ready: raises `Retry` while nothing can be processed.
            profile_of: by camera, its profile: a usual one, or one of `Analyser.profiles`.
        """
        self._publisher = publisher
        self._topics = topics
        self._reader = ImageReader(topics, clocks, limits, claims, decoders, snapshots=snapshots)
        self._message_bytes = snapshots.message_bytes
        self._models = models
        self._memory = Budget(image_memory)
        self._claimed = Budget(CLAIMS_AT_ONCE)
        self._turns = Turns()
        self._policy = policy
        self._cameras = None if tracking is None else FollowedCameras(tracking)
        self._liveness = liveness
        self._shadow_share = shadow_share
        self._require_ready = require_ready
        self._profile_of = profile_of
        self.serve(analyser)

    def serve(self, analyser: Analyser, others: Sequence[Embedder] = ()) -> None:
        """Embed by this analyser, from the next images on; those in work keep theirs.

        Args:
            analyser: with the detector that the stage was created with.
            others: embedders that embed what is enrolled, too, and frames in shadow.
        """
        self._lanes = ModelLanes(analyser, self._models, others)
        self._photos = self._every_face(self._lanes)
        self._frames = self._finder(self._lanes)
        self._frames_by_profile = {
            name: self._finder(ModelLanes(analyser.with_profile(name), self._models, others))
            for name in analyser.profiles
        }

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        """Take images once the embedder that decides is loaded.

        Raises:
            Retry: it cannot be loaded.
        """
        del partitions
        self._require_ready()

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
            parts = [
                part
                for fitting in groups(opened, _cost, self._memory.total)
                for part in self._by_finder(fitting).items()
            ]
            for number, part in enumerate(parts, start=1):
                await turn.come(Step.MEMORY)
                results, undecodable = await self._find(*part, turn, last=number == len(parts))
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

    async def _find(
        self, finder: Finder, images: Sequence[Opened], turn: Turn, *, last: bool
    ) -> Found:
        """Find the faces of images that fit into the memory together."""
        cost = sum(map(_cost, images))
        async with self._memory.hold(cost) as share:
            part = Part(images, share, turn, last)
            part.passed(Step.MEMORY)
            found = await finder.find(part)
        if cost >= _LARGE:
            await self._reader.run_alone(return_freed_memory)
        return found

    def _by_finder(self, images: Sequence[Opened]) -> dict[Finder, list[Opened]]:
        """Who finds the faces of which images; those of a camera stay together, in order."""
        parts: dict[Finder, list[Opened]] = {}
        for one in images:
            profile = self._profile_of(one.envelope.event.key)
            frames = self._frames_by_profile.get(profile, self._frames)
            parts.setdefault(self._photos if one.is_upload else frames, []).append(one)
        return parts

    def _every_face(self, lanes: ModelLanes) -> EveryFace:
        checks = LivenessChecks(self._liveness, lanes)
        added = OtherEmbeddings(lanes, self._shadow_share)
        return EveryFace(self._reader, lanes, checks, added, self._policy)

    def _finder(self, lanes: ModelLanes) -> Finder:
        """Finds the faces of frames, with the detectors of one profile."""
        if self._cameras is None:
            return self._every_face(lanes)
        checks = LivenessChecks(self._liveness, lanes)
        added = OtherEmbeddings(lanes, self._shadow_share)
        return FollowedFaces(self._reader, lanes, checks, added, self._cameras)

    def _outgoing(self, message: Message, found: DetectedFaces) -> Outgoing:
        value = pack(found)
        if found.snapshot and len(value) > self._message_bytes:
            value = pack(structs.replace(found, snapshot=b""))
        return Outgoing(self._topics.detected, message.key, value, detected_headers(found.event))


def _count(message: Message, found: DetectedFaces) -> None:
    topic = message.partition.topic
    metrics.FACES.labels(topic=topic).inc(len(found.faces))
    for face in found.faces:
        if face.liveness is not None:
            metrics.LIVENESS.labels(topic=topic, status=face.liveness.status).inc()
    if found.event.seen_at is not None:
        metrics.UNTRUSTED_TIMES.labels(topic=topic).inc()
    if found.event.kind is EventKind.FRAME:
        metrics.saw_camera(found.event.key)


def _cost(opened: Opened) -> int:
    return opened.header.decoding_bytes
