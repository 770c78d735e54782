"""A topic as it grows: one consumer a process, any number of listeners.

Listeners have bounded queues. One that is too slow loses the oldest events and gets a gap event,
so that it can fetch the missed ones from the listing; the others do not wait for it.
"""

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError

from api.live.listener import Listener
from config.settings import ApiSettings, KafkaSettings
from config.tasks.supervisor import Supervisor, TaskState
from streams.clients.client_factory import create_consumer
from streams.clients.fetch_wait import FetchWait
from streams.clients.truncated_log import rewind_shortened

if TYPE_CHECKING:
    from aiokafka import TopicPartition

logger = logging.getLogger(__name__)

Event = TypeVar("Event")
Identity = TypeVar("Identity", bound=Hashable)

#: Events that a listener who was cut off can have again.
KEPT = 1000

_POLL_SECONDS = 1.0
_CHECK_SECONDS = 2.0


class TopicBroadcast(ABC, Generic[Event, Identity]):
    """Consumes a topic from now on and fans it out."""

    def __init__(
        self,
        kafka: KafkaSettings,
        api: ApiSettings,
        topic: str,
        task: str,
    ) -> None:
        """Take the settings; `start` begins.

        Args:
            kafka: where the broker is.
            api: how slow listeners may be.
            topic: the topic.
            task: name of the task in the background.
        """
        self._kafka = kafka
        self._topic = topic
        self._task = task
        self._buffer = api.stream_buffer
        self._listeners: set[Listener[Event]] = set()
        self._kept: OrderedDict[Identity, Event] = OrderedDict()
        self._supervisor = Supervisor()

    @abstractmethod
    def _decode(self, record: Any) -> Event | None:
        """The event of a message; None for what is not for listeners.

        Raises:
            msgspec.DecodeError: the message cannot be read.
        """

    @abstractmethod
    def _identity(self, event: Event) -> Identity:
        """What names an event: the same event again is sent once."""

    @abstractmethod
    def _names(self, event: Event, user_id: UUID) -> bool:
        """Whether an event names a user."""

    def start(self) -> None:
        """Begin to consume, in the background."""
        self._supervisor.start(self._task, self._consume, expected=(KafkaError, OSError))

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

    def remembers(self, last: Identity) -> bool:
        """Whether what came after this event is still kept."""
        return last in self._kept

    @contextmanager
    def hear(
        self, wants: Callable[[Event], bool], last: Identity | None = None
    ) -> Iterator[Listener[Event]]:
        """Listen for the time of the context.

        Args:
            wants: see `Listener`.
            last: the last event that the listener has; it gets what came after it, or a gap.
        """
        listener = Listener(self._buffer, wants)
        if last is not None:
            self._catch_up(listener, last)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def forget_user(self, user_id: UUID) -> None:
        """Keep no event of a person who was erased."""
        for identity, event in list(self._kept.items()):
            if self._names(event, user_id):
                del self._kept[identity]

    def _catch_up(self, listener: Listener[Event], last: Identity) -> None:
        missed: list[Event] = []
        for identity, event in reversed(self._kept.items()):
            if identity == last:
                break
            missed.append(event)
        else:
            listener.miss()
            return
        for event in reversed(missed):
            listener.offer(event)

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
                records = [record for batch in batches.values() for record in batch]
                self._fan_out(self._readable(records))
                if batches:
                    fetch_wait.received(monotonic())
                fetch_wait.apply(consumer, monotonic())
                if monotonic() - checked > _CHECK_SECONDS:
                    ends = await rewind_shortened(consumer, ends)
                    checked = monotonic()
        finally:
            await consumer.stop()

    def _readable(self, records: Iterable[Any]) -> Iterator[Event]:
        for record in records:
            try:
                event = self._decode(record)
            except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
                logger.warning(
                    "skipping a message of %s that cannot be read: %s", self._topic, error
                )
                continue
            if event is not None:
                yield event

    def _fan_out(self, events: Iterable[Event]) -> None:
        for event in events:
            identity = self._identity(event)
            if identity in self._kept:
                continue  # announced again, as after a worker's crash
            self._kept[identity] = event
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            for listener in self._listeners:
                listener.offer(event)
