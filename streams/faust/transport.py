"""Faust's Kafka transport with what it lacks: settings of the fetch, flow control, exact commits.

Faust asks the broker to hold a fetch for 1.5 s when there is nothing new, and offers no setting.
Apache Kafka answers as soon as there is something; the embedded broker looks again only after
half of that time, which would be the latency of every frame. It reads what transactional producers
have aborted, too, unless it is to be a transactional producer itself.

When an agent's buffer is full, Faust blocks the one loop that fetches for all topics: frames that
wait for a store would hold the uploads, and aiokafka, which takes a consumer that does not fetch
for a dead one, leaves the group after ``max_poll_interval``. Here the worker says for each
partition whether it wants more, and only those are asked for.

Faust commits the offset after the last message that was acknowledged. What lies behind it and is
no message (markers of transactions, aborted batches) would count as lag for ever, and a gap behind
the first message of a partition stops its commits. Here `streams.processing.commit_tracker` says
which offset is committed; it hears of each fetch in the consumer's thread, at the moment at which
the position moves.

After a rebalance Faust goes back to what was committed, but not where nothing was committed yet.
It also lets in what was fetched before, then takes the messages that lie before it for known, and
drops them. Here the consumer goes back on all partitions, and an earlier fetch counts for nothing.

When partitions are revoked, Faust first drops its list of what was acknowledged and then says so:
what was done since the last commit would be done again by the next owner. Here the worker hears of
it while it can still commit.

When the broker does not answer, Faust's consumer never ends: it would find the coordinator, commit
and leave the group first. Here each of these has a bound, and the broker finds out by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import aiokafka
import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from config.tasks.cancellation import leaked_cancellation_as
from streams.contract.message import Partition

if TYPE_CHECKING:
    from streams.processing.commit_tracker import CommitTracker

logger = logging.getLogger(__name__)

#: The last commit before a consumer ends may take so long; the worker has committed before it.
_LAST_COMMIT_SECONDS = 1.0

#: Leaving the group and closing the connections may take so long.
_LEAVE_SECONDS = 4.0

#: So soon it is looked again whether a full partition has room, in seconds.
_LOOK_AGAIN = 0.02

HasRoom = Callable[[int], bool]
BeforeRevoked = Callable[[set[Partition]], Awaitable[None]]
BeforeAssigned = Callable[[set[Partition]], None]


class _CutShort(Exception):
    """aiokafka cancelled a part of its own end."""


async def _within(seconds: float, work: Awaitable[None], what: str) -> None:
    """Wait for a part of the end, but not for a broker that does not answer.

    Whatever becomes of it, the end goes on: a consumer thread that raises never says that it has
    ended, and Faust waits for that. aiokafka does so when a fetch fails while it closes: it cancels
    the fetch, waits for it, and takes its cancellation for one of its own.
    """
    try:
        async with asyncio.timeout(seconds):
            with leaked_cancellation_as(_CutShort("aiokafka cancelled it")):
                await work
    except TimeoutError:
        logger.warning("%s was cut off after %.0f s: the broker does not answer", what, seconds)
    except (_CutShort, KafkaError, OSError, RuntimeError) as error:
        logger.warning("%s was cut short: %r", what, error)


async def _nothing_to_finish(_revoked: set[Partition]) -> None:
    pass


def _nothing_to_begin(_assigned: set[Partition]) -> None:
    pass


class SteeredTransport(Transport):
    """The transport of the workers' apps.

    Attributes:
        has_room: by topic, says of a partition's number whether more of it is wanted. Topics that
            are not here are always fetched.
        trackers: by topic, which offsets may be committed. Other topics are not committed.
        before_revoked: awaited while all that is done can still be committed, and before another
            worker gets the partitions.
        before_assigned: called before any message of a new assignment is fetched.
        returns: how often the consumer has gone back to what was committed.
        fetching: settings of aiokafka's consumer, by attribute, that Faust does not offer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_room: dict[str, HasRoom] = {}
        self.trackers: dict[str, CommitTracker] = {}
        self.before_revoked: BeforeRevoked = _nothing_to_finish
        self.before_assigned: BeforeAssigned = _nothing_to_begin
        self.returns = 0
        self.fetching: dict[str, object] = {}

    def wants(self, tp: TP) -> bool:
        """Whether more messages of a partition are wanted now."""
        has_room = self.has_room.get(tp.topic)
        return has_room is None or has_room(tp.partition)

    def committable(self, tp: TP) -> int | None:
        """The offset up to which all of a partition is done; None where nothing is known."""
        tracker = self.trackers.get(tp.topic)
        return tracker.committable(Partition(*tp)) if tracker is not None else None

    def note_fetched(self, records: Mapping[TP, Any], positions: Mapping[TP, int]) -> None:
        """A fetch has brought these records and has left each assigned partition at a position."""
        for tp, position in positions.items():
            if tp.topic in self.trackers:
                offsets = [record.offset for record in records.get(tp, ())]
                self.trackers[tp.topic].fetched(Partition(*tp), offsets, position)

    def note_return(self) -> None:
        """The consumer has gone back to what was committed."""
        self.returns += 1
        for tracker in self.trackers.values():
            tracker.restart()


class _Batch(dict[TP, Any]):
    """What a fetch brought, and how often the consumer had gone back by then."""

    def __init__(self, records: Mapping[TP, Any], returns: int) -> None:
        super().__init__(records)
        self.returns = returns


class _Thread(AIOKafkaConsumerThread):
    transport: SteeredTransport

    async def on_thread_stop(self) -> None:
        await _within(_LEAVE_SECONDS, super().on_thread_stop(), "leaving the group")

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads these attributes when the consumer is started.
        for name, value in self.transport.fetching.items():
            if not hasattr(consumer, name):
                raise RuntimeError(f"this release of aiokafka has no {name}")
            setattr(consumer, name, value)
        return consumer

    async def _fetch_records(
        self, consumer: aiokafka.AIOKafkaConsumer, *args: Any, **options: Any
    ) -> Any:
        records = await super()._fetch_records(consumer, *args, **options)
        # Nothing is awaited from here on: positions and records are of one moment.
        self.transport.note_fetched(records, _positions(consumer))
        return _Batch(records, self.transport.returns)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return cast("Mapping[TP, int]", await self.call_thread(self._return_to_committed))

    async def _return_to_committed(self) -> Mapping[TP, int | None]:
        """Go back to what was committed, and where nothing was, to the beginning."""
        consumer = self._ensure_consumer()
        committed = {TP(*tp): await consumer.committed(tp) for tp in consumer.assignment()}
        new = [TopicPartition(*tp) for tp, offset in committed.items() if offset is None]
        # Not `seek_to_beginning`: it waits for the fetches that are under way.
        beginnings = await consumer.beginning_offsets(new) if new else {}
        # Nothing is awaited until all positions have moved and that is noted.
        for tp, offset in committed.items():
            consumer.seek(TopicPartition(*tp), beginnings.get(tp, 0) if offset is None else offset)
        self.transport.note_return()
        return committed

    def highwater(self, tp: TP) -> int:
        consumer = self._ensure_consumer()
        # Of read_uncommitted it is -1; a broker without transactions may not know it.
        stable = consumer.last_stable_offset(tp)
        return int((consumer.highwater(tp) if stable in {None, -1} else stable) or 0)


class _Consumer(Consumer):
    transport: SteeredTransport

    async def on_stop(self) -> None:
        await _within(_LAST_COMMIT_SECONDS, super().on_stop(), "the last commit")

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        active = active_partitions or set()
        wanted = {tp for tp in active if self.transport.wants(tp)}
        if not wanted:
            await asyncio.sleep(_LOOK_AGAIN)
            return {}
        if len(wanted) < len(active):
            timeout = min(timeout, _LOOK_AGAIN)
        batch = await super()._getmany(wanted, timeout)
        if isinstance(batch, _Batch) and batch.returns != self.transport.returns:
            return {}  # the consumer has gone back since: all of it comes again
        return batch

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ARG002 - Faust's signature
        return iter(self.assignment())

    def _new_offset(self, tp: TP) -> int | None:
        return self.transport.committable(tp) or None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no list of offsets that are no messages: `_new_offset` needs none."""

    async def verify_all_partitions_active(self) -> None:
        """Leave it to `streams.lifecycle.stall_detector`.

        Faust compares with the last message of a partition, and so takes one that was idle for
        five minutes, and has just got messages, for one that stands still.
        """

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        try:
            if revoked:
                await self.transport.before_revoked(_ours(revoked))
        finally:  # whatever became of the commit: the partitions are another's now
            await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.transport.before_assigned(_ours(assigned))
        await super().on_partitions_assigned(assigned, generation_id)


class _Transport(SteeredTransport):
    Consumer: ClassVar[Any] = _Consumer


def steer(app: faust.App, fetch_wait: float, isolation_level: str) -> None:
    """Give the app its transport.

    Args:
        app: whose consumer is steered.
        fetch_wait: longest that the broker holds an empty fetch, in seconds.
        isolation_level: ``read_committed`` or ``read_uncommitted``.
    """
    transport = _Transport(app.conf.broker_consumer, app)
    transport.fetching = {
        "_fetch_max_wait_ms": max(1, int(fetch_wait * 1000)),
        "_isolation_level": isolation_level,
    }
    app.transport = transport


def _ours(tps: set[TP]) -> set[Partition]:
    return {Partition(*tp) for tp in tps}


def _positions(consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, int]:
    """Of each assigned partition that has one, the offset that will be fetched next."""
    subscription = consumer._subscription.subscription  # noqa: SLF001 - its own question awaits
    if subscription is None or subscription.assignment is None:
        return {}
    consumed = subscription.assignment.all_consumed_offsets()
    return {TP(*tp): position.offset for tp, position in consumed.items()}
