"""From a message to the pixels of its image."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from msgspec import structs

from agents.detect.ordered_batches import Step, Turn
from config.observability import metrics
from domain.arrays import Image
from domain.events import DetectedFaces, EventKind
from domain.failures import Reject, Retry
from domain.images.image_errors import ImageRejected
from domain.memory_budget import Share
from ml.images.decoding import ImageHeader, ImageLimits, decode_inspected, inspect
from ml.images.frame_snapshots import SnapshotPolicy, snapshot_of
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.envelope import Envelope
from streams.contract.envelope import decode as read_envelope
from streams.contract.message import Message
from streams.contract.topics import Topics

#: Fetches what a claim check (``s3://bucket/key``) names.
Fetch = Callable[[str], Awaitable[bytes]]

Good = TypeVar("Good")
Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose image is fetched and inspected, but not decoded yet."""

    message: Message
    envelope: Envelope
    data: bytes
    header: ImageHeader

    @property
    def is_upload(self) -> bool:
        """Whether it is a photo, and not a camera's frame."""
        return self.envelope.event.kind is not EventKind.FRAME


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that cannot be processed, either now or ever."""

    message: Message
    failure: Reject | Retry


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch, whose images fit into the memory together.

    Attributes:
        images: in the order of their messages.
        share: the memory for decoding them.
        turn: of the batch.
        last: whether the batch has no further part.
    """

    images: Sequence[Opened]
    share: Share
    turn: Turn
    last: bool

    def passed(self, step: Step) -> None:
        """Let other batches do a step, if all of this one has done it."""
        if self.last:
            self.turn.passed(step)


class ImageReader:
    """Opens messages and decodes their images."""

    def __init__(  # noqa: PLR0913 - what every image is read with
        self,
        topics: Topics,
        clocks: ClockPolicy,
        limits: ImageLimits,
        claims: Fetch,
        decoders: Executor,
        *,
        snapshots: SnapshotPolicy,
    ) -> None:
        """Read messages of these topics.

        Args:
            topics: names of the topics.
            clocks: how far a camera's clock may be wrong.
            limits: limits of images that are decoded.
            claims: fetches the images of claim checks.
            decoders: threads that decode.
            snapshots: which frames are kept as a whole.
        """
        self._topics = topics
        self._clocks = clocks
        self._limits = limits
        self._claims = claims
        self._decoders = decoders
        self._snapshots = snapshots

    def envelope(self, message: Message) -> Envelope:
        """Read the headers of a message.

        Raises:
            Reject: they are broken.
        """
        return read_envelope(message, self._topics, self._clocks)

    async def open(self, message: Message) -> Opened | Unreadable:
        """Read the envelope, fetch the image of a claim check, inspect the image's header."""
        try:
            envelope = self.envelope(message)
            data = await self._claims(envelope.dataref) if envelope.dataref else message.value
            return Opened(message, envelope, data, inspect(data, self._limits))
        except (Reject, Retry) as failure:
            return Unreadable(message, failure)
        except ImageRejected as error:
            return Unreadable(message, Reject(error.reason, str(error)))

    async def decode(self, opened: Opened) -> Image | Unreadable:
        """Decode an image in full size: uint8 (H, W, 3), BGR, upright."""
        return await self.run(opened, partial(decode_inspected, opened.data, opened.header))

    async def run(self, opened: Opened, decode: Callable[[], Decoded]) -> Decoded | Unreadable:
        """Decode an image in some other way, in the threads for it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, decode)
        except ImageRejected as error:
            return Unreadable(opened.message, Reject(error.reason, str(error)))

    async def with_snapshot(
        self, opened: Opened, picture: Image, found: DetectedFaces
    ) -> DetectedFaces:
        """The result of a frame with the frame itself, if its camera's frames are kept.

        Args:
            opened: the frame.
            picture: uint8 (H, W, 3), BGR, upright, in full size.
            found: its faces.
        """
        if not self._snapshots.wants(found.event.key):
            return found
        work = partial(snapshot_of, opened.data, opened.header, picture, self._snapshots.long_side)
        with metrics.stage("snapshot"):
            snapshot = await asyncio.get_running_loop().run_in_executor(self._decoders, work)
        return structs.replace(found, snapshot=snapshot)

    async def run_alone(self, work: Callable[[], None]) -> None:
        """Do something in the threads for decoding."""
        await asyncio.get_running_loop().run_in_executor(self._decoders, work)


def split(outcomes: Iterable[Good | Unreadable]) -> tuple[list[Good], list[Unreadable]]:
    """Split outcomes into those that can be processed further and those that cannot."""
    good: list[Good] = []
    unreadable: list[Unreadable] = []
    for outcome in outcomes:
        if isinstance(outcome, Unreadable):
            unreadable.append(outcome)
        else:
            good.append(outcome)
    return good, unreadable
