"""Matches as they happen: one consumer of ``faces.matches`` a process, any number of listeners.

Listeners have bounded queues. One that is too slow loses the oldest matches and gets a gap event,
so that it can fetch the missed ones from the listing; the others do not wait for it.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError

from config.observability import metrics
from config.settings import ApiSettings, KafkaSettings
from config.tasks.supervisor import Supervisor, TaskState
from domain.events import FaceMatch
from streams.clients.client_factory import create_consumer
from streams.clients.fetch_wait import FetchWait
from streams.clients.truncated_log import rewind_shortened
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json

if TYPE_CHECKING:
    from aiokafka import TopicPartition

logger = logging.getLogger(__name__)

#: Matches that a listener who was cut off can have again.
KEPT = 1000

_POLL_SECONDS = 1.0
_CHECK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Marks the place at which a listener lost matches.

    Attributes:
        lost: how many; None where that is not known, as after an outage.
    """

    lost: int | None = None


@dataclass(eq=False)
class Listener:
    """One open stream.

    Attributes:
        limit: most matches that wait.
        camera: only matches of this camera.
        user: only matches of this person.
    """

    limit: int
    camera: str | None = None
    user: UUID | None = None
    _waiting: deque[FaceMatch | Gap] = field(default_factory=deque)
    _matches: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    def offer(self, match: FaceMatch) -> None:
        """Queue a match, at the cost of the oldest when the queue is full."""
        if not self.wants(match):
            return
        if self._matches >= self.limit:
            self._drop_oldest()
        self._waiting.append(match)
        self._matches += 1
        self._arrived.set()

    def miss(self) -> None:
        """Record for the listener that matches were lost."""
        if not (self._waiting and isinstance(self._waiting[-1], Gap)):
            self._waiting.append(Gap())
        else:
            self._waiting[-1] = Gap()
        self._arrived.set()

    def _drop_oldest(self) -> None:
        """Put a gap in the place of the oldest match, together with the gap before it."""
        lost: int | None = 1
        oldest = self._waiting.popleft()
        if isinstance(oldest, Gap):
            lost = None if oldest.lost is None else oldest.lost + 1
            self._waiting.popleft()  # gaps do not follow each other
        else:
            metrics.LIVE_GAPS.inc()
        if self._waiting and isinstance(following := self._waiting[0], Gap):
            self._waiting.popleft()
            lost = None if lost is None or following.lost is None else lost + following.lost
        self._waiting.appendleft(Gap(lost))
        self._matches -= 1

    def wants(self, match: FaceMatch) -> bool:
        """Whether the listener has requested this match."""
        return self.camera in {None, match.camera_id} and self.user in {None, match.user_id}

    def end(self) -> None:
        """Let `events` end."""
        self._closed = True
        self._arrived.set()

    async def events(self, heartbeat: float) -> AsyncIterator[FaceMatch | Gap | None]:
        """Matches and gaps as they come; None whenever nothing came for ``heartbeat`` seconds."""
        while not self._closed:
            while self._waiting:
                event = self._waiting.popleft()
                self._matches -= not isinstance(event, Gap)
                yield event
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
        self._supervisor = Supervisor()

    def start(self) -> None:
        """Begin to consume, in the background."""
        self._supervisor.start("live-matches", self._consume, expected=(KafkaError, OSError))

    def tasks(self) -> list[TaskState]:
        """How the task in the background is doing."""
        return self._supervisor.states()

    async def close(self) -> None:
        """Stop consuming, and end every listener's stream."""
        self.end_streams()
        await self._supervisor.close()

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
            last: the last face that the listener has; it gets what came after it, or a gap.
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

    async def _consume(self) -> None:
        fetch_wait = FetchWait(self._kafka.fetch_max_wait)
        consumer = create_consumer(
            self._kafka,
            self._topic,
            group_id=None,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            fetch_max_wait_ms=fetch_wait.milliseconds(monotonic()),
            metadata_max_age_ms=30_000,
        )
        try:
            await consumer.start()
            fetch_wait.apply(consumer, monotonic())
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
                if batches:
                    fetch_wait.received(monotonic())
                fetch_wait.apply(consumer, monotonic())
                if monotonic() - checked > _CHECK_SECONDS:
                    ends = await rewind_shortened(consumer, ends)
                    checked = monotonic()
        finally:
            await consumer.stop()

    def _fan_out(self, matches: list[FaceMatch]) -> None:
        for match in matches:
            if match.face_id in self._kept:
                continue  # announced again, as after a worker's crash
            self._kept[match.face_id] = match
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            for listener in self._listeners:
                listener.offer(match)


def _read(value: bytes | None) -> FaceMatch | None:
    """A face that a camera saw; the probe of a search is only for its caller."""
    try:
        match = match_from_json(value or b"")
    except msgspec.DecodeError as error:
        logger.warning("skipping a message of faces.matches that cannot be read: %s", error)
        return None
    return match if match.is_of_a_frame else None
