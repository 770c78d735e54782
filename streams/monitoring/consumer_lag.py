"""The lag of the consumer groups, as the broker reports it; also correct if no worker runs.

A group's lag in messages is the end of its partitions minus its committed offsets. Its lag in
seconds is the age of the first message that it has not committed. That message is read only if the
committed offset is before the end at the last check; otherwise the message arrived after that
check. Offsets without a readable message, such as control records of transactions, are not lag.
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
from streams.contract.topics import GROUPS, Topics

#: Only the time of a message is needed, so little is fetched; the broker sends at least one batch.
_FETCH_BYTES = 1024

#: Time limits for reading one message, and for one check of all groups, in seconds.
_READ_SECONDS = 1.0
_LOOK_SECONDS = 4.0

#: A new cluster creates its internal topic for groups at the first request; this takes seconds.
_COORDINATOR_ATTEMPTS, _COORDINATOR_PAUSE = 10, 0.5
_NO_COORDINATOR_YET = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

_MILLISECONDS = 1000

#: Number of end offsets of a partition that are kept, to estimate when a message arrived.
_MOST_ENDS = 60


class MissingTopicsError(Exception):
    """The broker does not have all topics; the message names them."""


class PartitionLag(NamedTuple):
    """How far a group is behind in one partition.

    Attributes:
        topic: full name.
        partition: number.
        messages: number of messages that are not processed yet.
        seconds: age of the first of them; 0.0 if there is none, or it came after the last check.
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
        """Number of messages that are not processed yet."""
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
        arrived_at: when the message arrived (Unix time); None while it is unknown.
        empty_to: there is no message to read up to this end.
        looked_at: the end that the broker reported when the position was last read.
        high: the end that the fetch reported then.
    """

    offset: int
    arrived_at: float | None = None
    empty_to: int = -1
    looked_at: int = -1
    high: int = -1


class _Seen(NamedTuple):
    """An end offset of a partition, with the times of the first and last check that found it."""

    first: float
    last: float
    end: int


class _Ends:
    """The end offsets of one partition at the last checks."""

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
        """Lower and upper bound of a message's arrival time, as far as they were observed."""
        earliest = max((one.last for one in self._seen if one.end <= offset), default=None)
        latest = min((one.first for one in self._seen if one.end > offset), default=None)
        return earliest, latest


class LagReader:
    """Reads the lag of every group from the broker; an asynchronous context manager."""

    def __init__(self, settings: KafkaSettings, *, timeout: float | None = None) -> None:
        """Prepare; the connection is made on entering.

        Args:
            settings: address and credentials of the broker.
            timeout: seconds to wait for each of its answers; None uses the settings.
        """
        topics = Topics(settings.topic_prefix)
        self._groups: Mapping[str, tuple[str, ...]] = {
            topics.group(role): topics.read_by(role) for role in GROUPS
        }
        self._roles = {topics.group(role): role for role in GROUPS}
        bound = {} if timeout is None else {"request_timeout_ms": int(timeout * _MILLISECONDS)}
        self._settings = settings
        self._bound = bound
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        # Some brokers report an end offset before the last batch; a fetch returns the correct end.
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
        """The present lag of every group.

        Raises:
            MissingTopicsError: a topic does not exist.
            KafkaError: the broker does not answer.
        """
        if self._admin is None or self._consumer is None:
            raise RuntimeError("enter the context before reading the lag")
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
        """The committed offsets of a group; retries while its coordinator is not available yet.

        Raises:
            KafkaError: there is no coordinator, or the broker does not answer.
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
        """All partitions of the groups' topics.

        A broker may create a topic that it is asked about, so the list of topics is read first.

        Raises:
            MissingTopicsError: a topic does not exist.
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
            # It arrived after the last check: an age of 0 is close enough.
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
        """Read when the first message of a position arrived, or that there is none."""
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
                reported: dict[TopicPartition, int] = await consumer.end_offsets([tp])
                self._understates = reported[tp] < place.high
            for message in found.get(tp, ()):
                # Clocks of producers may be wrong, so the observed bounds take precedence.
                stamp = message.timestamp / _MILLISECONDS if message.timestamp > 0 else time()
                low = stamp if earliest is None else max(stamp, earliest)
                place.arrived_at = low if latest is None else min(low, latest)
                return
            if await consumer.position(tp) >= end:
                place.empty_to = end
        finally:
            consumer.unsubscribe()


def _position(committed: Any, begin: int) -> int:
    """The offset at which a group continues; without a commit it starts at the beginning."""
    offset = -1 if committed is None else int(committed.offset)
    return max(offset, begin)
