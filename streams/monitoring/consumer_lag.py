"""How far the consumer groups are behind, as the broker itself says: right also without a worker.

A group's lag in messages is the end of its partitions minus its committed offsets. Its lag in
seconds is the age of the first message that it has not committed. That message is read only if the
committed offset has not passed the end of the last check: otherwise the message came after that
check. A remainder without a readable message, such as the control records of transactions, is no
lag.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from config.settings import KafkaSettings
from streams.clients.client_factory import create_admin, create_consumer
from streams.contract.topics import Topics

#: A message read for its time need not be read whole; the broker sends at least one batch.
_FETCH_BYTES = 1024

#: What reading one message may take, and all of a look, in seconds.
_READ_SECONDS = 1.0
_LOOK_SECONDS = 4.0

#: A new cluster creates the topic of its groups at the first request, which takes some seconds.
_COORDINATOR_ATTEMPTS, _COORDINATOR_PAUSE = 10, 0.5
_NO_COORDINATOR_YET = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

_MILLISECONDS = 1000

#: So many ends of a partition are remembered, to know when a message cannot have been there yet.
_MOST_ENDS = 60


class MissingTopicsError(Exception):
    """The broker does not have all topics; the message names them."""


class PartitionLag(NamedTuple):
    """How far a group is behind in one partition.

    Attributes:
        topic: full name.
        partition: number.
        messages: that it has yet to process.
        seconds: age of the first of them; 0.0 where there is none, or it came after the last look.
    """

    topic: str
    partition: int
    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GroupLag:
    """How far a group is behind.

    Attributes:
        role: of the group's workers.
        partitions: one entry for each partition of its topics.
    """

    role: str
    partitions: tuple[PartitionLag, ...]

    @property
    def messages(self) -> int:
        """Messages that it has yet to process."""
        return sum(one.messages for one in self.partitions)

    @property
    def seconds(self) -> float:
        """Age of the oldest of them."""
        return max((one.seconds for one in self.partitions), default=0.0)


@dataclass(slots=True)
class _Place:
    """The first unprocessed message of a partition.

    Attributes:
        offset: what the group has committed.
        arrived_at: when the message came (Unix time); None while it is not known.
        empty_to: up to this end there is nothing to read.
        looked_at: the end, as the broker reported it, when the position was read last.
        high: the end as the fetch reported it then.
    """

    offset: int
    arrived_at: float | None = None
    empty_to: int = -1
    looked_at: int = -1
    high: int = -1


class _Seen(NamedTuple):
    """An end of a partition, with the first and the last look that found it."""

    first: float
    last: float
    end: int


class _Ends:
    """The ends of one partition at the last looks."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def note(self, now: float, end: int) -> None:
        if self._seen and end < self._seen[-1].end:
            self._seen.clear()  # a new log
        if self._seen and end == self._seen[-1].end:
            self._seen[-1] = self._seen[-1]._replace(last=now)
            return
        self._seen.append(_Seen(now, now, end))
        del self._seen[:-_MOST_ENDS]

    def arrival(self, offset: int) -> tuple[float | None, float | None]:
        """Bounds of the time at which a message came, as far as they were observed."""
        earliest = max((one.last for one in self._seen if one.end <= offset), default=None)
        latest = min((one.first for one in self._seen if one.end > offset), default=None)
        return earliest, latest


class LagReader:
    """Asks the broker how far every group is; an asynchronous context manager."""

    def __init__(self, settings: KafkaSettings, *, timeout: float | None = None) -> None:
        """Prepare; the connection is made on entering.

        Args:
            settings: where the broker is.
            timeout: seconds to wait for each of its answers; None: as the settings have it.
        """
        topics = Topics(settings.topic_prefix)
        self._groups: Mapping[str, tuple[str, ...]] = {
            topics.group("detect"): (topics.frames, topics.uploads),
            topics.group("identify"): (topics.detected,),
        }
        self._roles = dict(zip(self._groups, ("detect", "identify"), strict=True))
        bound = {} if timeout is None else {"request_timeout_ms": int(timeout * _MILLISECONDS)}
        self._settings = settings
        self._bound = bound
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        # : Some brokers report an end without most of the last batch; a fetch returns the correct
        # end.
        self._understates = False
        self._places: dict[tuple[str, TopicPartition], _Place] = {}
        self._ends: dict[TopicPartition, _Ends] = {}

    async def __aenter__(self) -> Self:
        self._admin = create_admin(self._settings, client_id="fecapass-lag", **self._bound)
        self._consumer = create_consumer(
            self._settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=100,
            client_id="fecapass-lag",
            **self._bound,
        )
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._close()

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        admin, self._admin = self._admin, None
        try:
            if consumer is not None:
                await consumer.stop()
        finally:
            if admin is not None:
                await admin.close()

    async def look(self) -> list[GroupLag]:
        """How far every group is behind now.

        Raises:
            MissingTopicsError: a topic is not there.
            KafkaError: the broker does not answer.
        """
        if self._admin is None or self._consumer is None:
            raise RuntimeError("enter the reader before it is asked")
        partitions = await self._partitions(self._admin)
        begins = await self._consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        now = time()
        lags = []
        until = now + _LOOK_SECONDS
        for group, topics in self._groups.items():
            own = [tp for tp in partitions if tp.topic in topics]
            committed = await self._committed(self._admin, group, own)
            lags.append(
                GroupLag(
                    self._roles[group],
                    tuple(
                        [
                            await self._lag(
                                group, tp, _position(committed.get(tp), begins[tp]), ends[tp], until
                            )
                            for tp in own
                        ]
                    ),
                )
            )
        for tp, end in ends.items():
            self._ends.setdefault(tp, _Ends()).note(now, end)
        return lags

    @staticmethod
    async def _committed(
        admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Any]:
        """What a group has committed; a broker may look for the group's coordinator for a moment.

        Raises:
            KafkaError: it does not find one, or does not answer.
        """
        for attempt in range(_COORDINATOR_ATTEMPTS):
            try:
                committed: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(
                    group, partitions=list(partitions)
                )
            except _NO_COORDINATOR_YET:
                if attempt == _COORDINATOR_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_COORDINATOR_PAUSE)
            else:
                return committed
        return {}

    async def _partitions(self, admin: AIOKafkaAdminClient) -> Sequence[TopicPartition]:
        """All partitions of the groups' topics; a broker may make a topic that it is asked about.

        Raises:
            MissingTopicsError: a topic is not there.
        """
        wanted = {topic for topics in self._groups.values() for topic in topics}
        missing = wanted - set(await admin.list_topics())
        if missing:
            raise MissingTopicsError(", ".join(sorted(missing)))
        described: Iterable[Any] = await admin.describe_topics(sorted(wanted))
        return sorted(
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        )

    async def _lag(
        self, group: str, tp: TopicPartition, offset: int, end: int, until: float
    ) -> PartitionLag:
        if offset >= end:
            self._places.pop((group, tp), None)
            return PartitionLag(tp.topic, tp.partition, 0, 0.0)
        place = self._places.get((group, tp))
        if place is None or place.offset != offset:
            place = self._places[group, tp] = _Place(offset)
        seen = self._ends.get(tp)
        earliest, latest = seen.arrival(offset) if seen else (None, None)
        if self._understates:
            is_due = place.looked_at != end
        elif earliest is not None and latest is None:
            # It came after the last look: that is near enough.
            return PartitionLag(tp.topic, tp.partition, end - offset, 0.0)
        else:
            is_due = place.arrived_at is None and place.empty_to < end
        if is_due and time() < until:
            await self._read(tp, place, end, earliest, latest)
        if place.empty_to >= end:
            return PartitionLag(tp.topic, tp.partition, 0, 0.0)
        since = latest if place.arrived_at is None else place.arrived_at
        age = 0.0 if since is None else max(0.0, time() - since)
        end = max(end, place.high)
        return PartitionLag(tp.topic, tp.partition, end - offset, round(age, 1))

    async def _read(
        self,
        tp: TopicPartition,
        place: _Place,
        end: int,
        earliest: float | None,
        latest: float | None,
    ) -> None:
        """Find out when the first message of a place came, or that there is none."""
        consumer = self._consumer
        if consumer is None:
            return
        consumer.assign([tp])
        try:
            consumer.seek(tp, place.offset)
            found = await consumer.getmany(tp, timeout_ms=int(_READ_SECONDS * 1000), max_records=1)
            place.looked_at = end
            place.high = consumer.highwater(tp) or -1
            if place.high > end and not self._understates:
                told: dict[TopicPartition, int] = await consumer.end_offsets([tp])
                self._understates = told[tp] < place.high
            for message in found.get(tp, ()):
                # Clocks of producers may be wrong; what was observed here is right.
                stamp = message.timestamp / _MILLISECONDS if message.timestamp > 0 else time()
                low = stamp if earliest is None else max(stamp, earliest)
                place.arrived_at = low if latest is None else min(low, latest)
                return
            if await consumer.position(tp) >= end:
                place.empty_to = end
        finally:
            consumer.unsubscribe()


def _position(committed: Any, begin: int) -> int:
    """Where a group continues: a group without a commit starts at the beginning."""
    offset = -1 if committed is None else int(committed.offset)
    return max(offset, begin)
