"""Matches as they happen: one consumer of ``faces.matches`` a process, any number of listeners.

Listeners have bounded queues. Who is too slow loses the oldest and is told of the gap, so that he
can fetch what he missed from the listing; nobody else waits for him.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from config import metrics
from config.settings import ApiSettings, KafkaSettings
from streams.codec import match_from_json
from streams.events import FaceMatch
from streams.kafka import create_consumer
from streams.topics import Topics

logger = logging.getLogger(__name__)

#: Matches that a listener who was cut off can have again.
KEPT = 1000

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_POLL_SECONDS = 1.0
_CHECK_SECONDS = 2.0


class Gap:
    """Stands where matches were lost to a listener."""


GAP: Final = Gap()


@dataclass(eq=False)
class Listener:
    """One open stream.

    Attributes:
        camera: only matches of this camera.
        user: only matches of this person.
    """

    limit: int
    camera: str | None = None
    user: UUID | None = None
    _waiting: deque[FaceMatch | Gap] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    def offer(self, match: FaceMatch) -> None:
        """Queue a match, at the cost of the oldest when the queue is full."""
        if not self.wants(match):
            return
        if len(self._waiting) >= self.limit:
            self._waiting.clear()
            self._waiting.append(GAP)
            metrics.LIVE_GAPS.inc()
        self._waiting.append(match)
        self._arrived.set()

    def miss(self) -> None:
        """Tell the listener that matches were lost."""
        self._waiting.append(GAP)
        self._arrived.set()

    def wants(self, match: FaceMatch) -> bool:
        """Whether a match is one of those that were asked for."""
        return self.camera in {None, match.camera_id} and self.user in {None, match.user_id}

    def end(self) -> None:
        """Let `events` come to its end."""
        self._closed = True
        self._arrived.set()

    async def events(self, heartbeat: float) -> AsyncIterator[FaceMatch | Gap | None]:
        """Matches and gaps as they come; None whenever nothing came for ``heartbeat`` seconds."""
        while not self._closed:
            while self._waiting:
                yield self._waiting.popleft()
            self._arrived.clear()
            try:
                async with asyncio.timeout(heartbeat):
                    await self._arrived.wait()
            except TimeoutError:
                yield None


class LiveMatches:
    """Consumes ``faces.matches`` from now on and fans it out."""

    def __init__(self, kafka: KafkaSettings, api: ApiSettings) -> None:
        """Take the settings; `start` begins.

        Args:
            kafka: where the broker is.
            api: how many listeners, and how slow they may be.
        """
        self._kafka = kafka
        self._topic = Topics(kafka.topic_prefix).matches
        self._places = api.stream_clients
        self._buffer = api.stream_buffer
        self._listeners: set[Listener] = set()
        self._kept: OrderedDict[UUID, FaceMatch] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to consume, in the background."""
        self._task = asyncio.create_task(self._run(), name="live-matches")

    async def close(self) -> None:
        """Stop consuming, and end every listener's stream."""
        self.end_streams()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def end_streams(self) -> None:
        """End every listener's stream: a server that stops waits for open responses."""
        for listener in self._listeners:
            listener.end()

    @property
    def full(self) -> bool:
        """Whether all places for listeners are taken."""
        return len(self._listeners) >= self._places

    @contextmanager
    def listen(
        self, last: UUID | None = None, camera: str | None = None, user: UUID | None = None
    ) -> Iterator[Listener]:
        """Listen for the time of the context.

        Args:
            last: the last face that the listener has; he gets what came after it, or a gap.
            camera: only matches of this camera.
            user: only matches of this person.
        """
        listener = Listener(self._buffer, camera, user)
        if last is not None:
            self._catch_up(listener, last)
        self._listeners.add(listener)
        metrics.LIVE_LISTENERS.set(len(self._listeners))
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            metrics.LIVE_LISTENERS.set(len(self._listeners))

    def forget_user(self, user_id: UUID) -> None:
        """Keep no match of a person who was erased."""
        for face_id in [one.face_id for one in self._kept.values() if one.user_id == user_id]:
            del self._kept[face_id]

    def _catch_up(self, listener: Listener, last: UUID) -> None:
        missed: list[FaceMatch] = []
        for match in reversed(self._kept.values()):
            if match.face_id == last:
                break
            missed.append(match)
        else:
            listener.miss()
            return
        for match in reversed(missed):
            listener.offer(match)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = monotonic()
            try:
                await self._consume()
            except (KafkaError, OSError) as error:
                logger.warning("no live matches: %s; trying again", error)
            if monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _consume(self) -> None:
        consumer = create_consumer(
            self._kafka,
            self._topic,
            group_id=None,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            fetch_max_wait_ms=max(1, int(self._kafka.fetch_max_wait * 1000)),
            metadata_max_age_ms=30_000,
        )
        try:
            await consumer.start()
            for listener in self._listeners:
                listener.miss()  # whatever came while there was no consumer
            checked = monotonic()
            ends: dict[TopicPartition, int] = {}
            while True:
                batches = await consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000))
                matches = [
                    match
                    for records in batches.values()
                    for record in records
                    if (match := _read(record.value)) is not None
                ]
                self._fan_out(matches)
                if monotonic() - checked > _CHECK_SECONDS:
                    ends = await _rewind_shortened(consumer, ends)
                    checked = monotonic()
        finally:
            await consumer.stop()

    def _fan_out(self, matches: list[FaceMatch]) -> None:
        for match in matches:
            if match.face_id in self._kept:
                continue  # told again, as after a worker's crash
            self._kept[match.face_id] = match
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            for listener in self._listeners:
                listener.offer(match)


def _read(value: bytes | None) -> FaceMatch | None:
    """A face that a camera saw; probes of searches have no crop and are no business of others."""
    try:
        match = match_from_json(value or b"")
    except msgspec.DecodeError as error:
        logger.warning("skipping a message of faces.matches that cannot be read: %s", error)
        return None
    return match if match.crop_key is not None else None


async def _rewind_shortened(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Read partitions that begin anew from their beginning, as after a loss of the broker's log.

    Not every broker tells a consumer that its position lies past the end, and the embedded one
    tells an end that lies before the last batch; but only of a new log does it tell a lower one
    than before.

    Args:
        consumer: assigned.
        ends: what this returned at the last look.

    Returns:
        The end of each partition as the broker tells it now.
    """
    assigned = consumer.assignment()
    told: dict[TopicPartition, int] = await consumer.end_offsets(assigned) if assigned else {}
    for partition, end in told.items():
        if end < ends.get(partition, end) and end < await consumer.position(partition):
            logger.warning("%s/%d begins anew", partition.topic, partition.partition)
            await consumer.seek_to_beginning(partition)
    return told
