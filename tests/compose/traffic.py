"""Frames into a deployment and what comes out, by the event contract alone."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

import cv2
from aiokafka import AIOKafkaConsumer

from config.settings import KafkaSettings
from domain.events import EventKind, ImageEvent, utc_now
from infra.demo.sample_media import CARPHONE
from streams.clients.client_factory import create_consumer, create_producer
from streams.contract.envelope import encode_headers
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json, unpack

SOURCE = "fecapass/compose-check"
_CAMERAS = 24


class TrafficError(Exception):
    """What was published did not come out in time, or came out otherwise."""


def sample_frames() -> list[bytes]:
    """The frames of a sample video as JPEG: one man, found in each.

    Raises:
        MediaError: the package with the video is not installed.
    """
    video = cv2.VideoCapture(str(CARPHONE.locate()))
    frames: list[bytes] = []
    while True:
        more, pixels = video.read()
        if not more:
            return frames
        frames.append(cv2.imencode(".jpg", pixels)[1].tobytes())


def repeated(frames: Sequence[bytes], count: int) -> list[bytes]:
    """So many frames: the pictures repeat, the events that carry them do not."""
    return [frames[number % len(frames)] for number in range(count)]


async def publish(
    kafka: KafkaSettings,
    name: str,
    frames: Sequence[bytes],
    *,
    partitions: int | None = None,
    source: str = SOURCE,
) -> list[str]:
    """Publish frames as an outside producer would, keyed by two dozen cameras in turn.

    Args:
        kafka: where the broker is.
        name: begins the ids of these events.
        frames: JPEG pictures.
        partitions: spread them evenly over so many, rather than by their keys.
        source: of these events.

    Returns:
        The events' ids.
    """
    topic = Topics(kafka.topic_prefix).frames
    ids = [f"{name}-{number}" for number in range(len(frames))]
    producer = create_producer(kafka, linger_ms=20)
    await producer.start()
    try:
        pending = []
        for number, (event_id, picture) in enumerate(zip(ids, frames, strict=True)):
            camera = f"{name}-camera-{number % _CAMERAS}"
            event = ImageEvent(
                kind=EventKind.FRAME, source=source, id=event_id, key=camera, captured_at=utc_now()
            )
            pending.append(
                await producer.send(
                    topic,
                    picture,
                    camera.encode(),
                    partition=None if partitions is None else number % partitions,
                    headers=encode_headers(event, "image/jpeg"),
                )
            )
        await asyncio.gather(*pending)
    finally:
        await producer.stop()
    return ids


@dataclass
class Watch:
    """What has come out so far; repeated messages count once.

    Attributes:
        detected: number of faces, by event id, from ``faces.detected``.
        matched: ids of the faces, by event id, from ``faces.matches``.
        detected_at: when each event was first seen on ``faces.detected`` (monotonic seconds).
    """

    detected: dict[str, int] = field(default_factory=dict)
    matched: dict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    detected_at: dict[str, float] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until_detected(self, ids: Sequence[str], count: int, seconds: float) -> None:
        """Wait until so many of the events have been through the models.

        Raises:
            TrafficError: it took too long.
        """
        await self._until(lambda: sum(i in self.detected for i in ids) >= count, seconds, ids)

    async def until_matched(self, ids: Sequence[str], seconds: float) -> None:
        """Wait until every event is detected and each of its faces is on ``faces.matches``.

        Raises:
            TrafficError: some never came.
        """
        await self._until(lambda: not self.missing(ids), seconds, ids)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those events that did not come out whole."""
        return [i for i in ids if i not in self.detected or len(self.matched[i]) < self.detected[i]]

    async def follow(self, consumer: AIOKafkaConsumer, topics: Topics) -> None:
        """Read until cancelled."""
        async for message in consumer:
            async with self._news:
                if message.topic == topics.detected:
                    found = unpack(message.value)
                    self.detected.setdefault(found.event.id, len(found.faces))
                    self.detected_at.setdefault(found.event.id, monotonic())
                else:
                    match = match_from_json(message.value)
                    self.matched[match.event_id].add(match.face_id)
                self._news.notify_all()

    async def _until(self, reached: Callable[[], bool], seconds: float, ids: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(reached)
        except TimeoutError:
            missing = self.missing(ids)
            raise TrafficError(
                f"{len(missing)} of {len(ids)} events had not come out after {seconds:.0f} s, "
                f"among them {missing[:5]}"
            ) from None


@asynccontextmanager
async def watching(kafka: KafkaSettings) -> AsyncIterator[Watch]:
    """Read ``faces.detected`` and ``faces.matches`` from their beginning."""
    topics = Topics(kafka.topic_prefix)
    consumer = create_consumer(
        kafka, topics.detected, topics.matches, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    watch = Watch()
    task = asyncio.create_task(watch.follow(consumer, topics))
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await consumer.stop()
