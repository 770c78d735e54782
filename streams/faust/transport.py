"""Faust's Kafka transport, with additions: settings of the fetch, flow control, exact commits.

**Fetch.** Faust asks the broker to hold a fetch for 1.5 s if there is no new message, and has no
setting for it. Apache Kafka answers as soon as there is a message; the embedded broker checks again
only after half of that time, which would be the latency of every frame. So the time is short while
messages arrive (`streams.clients.fetch_wait`). Faust also reads messages of aborted transactions,
unless it is a transactional producer itself.

**Flow control.** When the buffer of an agent is full, Faust blocks the one loop that fetches for
all topics: frames that wait for a store would block the uploads. And aiokafka leaves the group
after ``max_poll_interval`` if a consumer does not fetch. Here the worker says for each partition
whether it accepts more messages, and only these partitions are fetched.

**Commits.** Faust commits the offset after the last acknowledged message. Offsets after it that
belong to no message (transaction markers, aborted batches) would count as lag for ever, and a gap
after the first message of a partition stops its commits. Here `streams.processing.commit_tracker`
decides which offset is committed; it is informed of each fetch in the consumer's thread, at the
moment at which the position moves.

**Assignment.** After a rebalance Faust returns to the committed offsets, except on partitions
without a commit. It also accepts messages of an earlier fetch; then it drops the messages before
them as already known. Here the consumer returns to the committed offsets on all partitions, and
earlier fetches are discarded.

**Revocation.** When partitions are revoked, Faust drops its list of acknowledged messages before it
reports the revocation: the next worker would repeat everything since the last commit. Here the
worker is informed while it can still commit.

**Shutdown.** When the broker does not answer, Faust's consumer never ends: it waits for the
coordinator, for a commit and for leaving the group. Here each of these steps has a time limit; the
broker detects the missing member itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, cast

import aiokafka
import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from config.tasks.cancellation import leaked_cancellation_as
from streams.clients.client_factory import set_attribute
from streams.clients.fetch_wait import FetchWait
from streams.contract.message import Partition
from streams.faust.bootstrap import with_brokers

if TYPE_CHECKING:
    from streams.processing.commit_tracker import CommitTracker

logger = logging.getLogger(__name__)

#: Time limit of the last commit before a consumer ends, in seconds; the worker committed before.
_LAST_COMMIT_SECONDS = 1.0

#: Time limit for leaving the group and closing the connections, in seconds.
_LEAVE_SECONDS = 4.0

#: Pause between two checks whether a full partition has room, in seconds.
_LOOK_AGAIN = 0.02

HasRoom = Callable[[int], bool]
BeforeRevoked = Callable[[set[Partition]], Awaitable[None]]
BeforeAssigned = Callable[[set[Partition]], None]


class _StepCancelled(Exception):
    """aiokafka cancelled a step of its own shutdown."""


async def _within(seconds: float, work: Awaitable[None], what: str) -> None:
    """Wait for a step of the shutdown, at most for a number of seconds.

    Whether the step succeeds or not, the shutdown continues: a consumer thread that raises never
    reports its end, and Faust waits for it. aiokafka can raise when a fetch fails while it closes:
    it cancels the fetch, waits for it, and mistakes this cancellation for its own.
    """
    try:
        async with asyncio.timeout(seconds):
            with leaked_cancellation_as(_StepCancelled("aiokafka cancelled it")):
                await work
    except TimeoutError:
        logger.warning("%s was stopped after %.0f s: the broker does not answer", what, seconds)
    except (_StepCancelled, KafkaError, OSError, RuntimeError) as error:
        logger.warning("%s failed: %r", what, error)


async def _nothing_to_finish(_revoked: set[Partition]) -> None:
    pass


def _nothing_to_begin(_assigned: set[Partition]) -> None:
    pass


class WorkerTransport(Transport):
    """The transport of the workers' apps.

    Attributes:
        has_room: by topic, says for a partition's number whether it accepts more messages. Other
            topics are always fetched.
        trackers: by topic, which offsets may be committed. Other topics are not committed.
        before_revoked: awaited while finished messages can still be committed, before another
            worker gets the partitions.
        before_assigned: called before any message of a new assignment is fetched.
        rewinds: how often the consumer returned to the committed offsets.
        isolation_level: of the consumer.
        fetch_wait: how long the broker may hold an empty fetch.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_room: dict[str, HasRoom] = {}
        self.trackers: dict[str, CommitTracker] = {}
        self.before_revoked: BeforeRevoked = _nothing_to_finish
        self.before_assigned: BeforeAssigned = _nothing_to_begin
        self.rewinds = 0
        self.isolation_level = "read_committed"
        self.fetch_wait = FetchWait(busy=0.5)

    def wants(self, tp: TP) -> bool:
        """Whether more messages of a partition are accepted now."""
        has_room = self.has_room.get(tp.topic)
        return has_room is None or has_room(tp.partition)

    def committable(self, tp: TP) -> int | None:
        """The offset up to which a partition can be committed; None if it is unknown."""
        tracker = self.trackers.get(tp.topic)
        return tracker.committable(Partition(*tp)) if tracker is not None else None

    def note_fetched(self, records: Mapping[TP, Any], positions: Mapping[TP, int]) -> None:
        """Note the records of a fetch, and the position of each assigned partition after it."""
        for tp, position in positions.items():
            if tp.topic in self.trackers:
                offsets = [record.offset for record in records.get(tp, ())]
                self.trackers[tp.topic].fetched(Partition(*tp), offsets, position)

    def note_rewind(self) -> None:
        """Note that the consumer returned to the committed offsets."""
        self.rewinds += 1
        for tracker in self.trackers.values():
            tracker.restart()


class _Batch(dict[TP, Any]):
    """The records of a fetch, and the number of rewinds at that time."""

    def __init__(self, records: Mapping[TP, Any], rewinds: int) -> None:
        super().__init__(records)
        self.rewinds = rewinds


class _Thread(AIOKafkaConsumerThread):
    transport: WorkerTransport

    async def on_thread_stop(self) -> None:
        await _within(_LEAVE_SECONDS, super().on_thread_stop(), "leaving the group")

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads these attributes when the consumer is started.
        set_attribute(consumer, "_isolation_level", self.transport.isolation_level)
        set_attribute(
            consumer, "_fetch_max_wait_ms", self.transport.fetch_wait.milliseconds(monotonic())
        )
        client = consumer._client  # noqa: SLF001 - the consumer makes it, and bootstraps it at start
        set_attribute(client, "bootstrap", with_brokers(client))
        return consumer

    async def _fetch_records(
        self, consumer: aiokafka.AIOKafkaConsumer, *args: Any, **options: Any
    ) -> Any:
        records = await super()._fetch_records(consumer, *args, **options)
        now, fetch_wait = monotonic(), self.transport.fetch_wait
        if records:
            fetch_wait.received(now)
        fetch_wait.apply(consumer, now)
        # No `await` from here on, so that positions and records belong to the same moment.
        self.transport.note_fetched(records, _positions(consumer))
        return _Batch(records, self.transport.rewinds)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return cast("Mapping[TP, int]", await self.call_thread(self._rewind_to_committed))

    async def _rewind_to_committed(self) -> Mapping[TP, int | None]:
        """Return to the committed offsets, and without a commit to the beginning."""
        consumer = self._ensure_consumer()
        committed = {TP(*tp): await consumer.committed(tp) for tp in consumer.assignment()}
        new = [TopicPartition(*tp) for tp, offset in committed.items() if offset is None]
        # Not `seek_to_beginning`: it waits for the fetches in progress.
        beginnings = await consumer.beginning_offsets(new) if new else {}
        # No `await` until all positions have moved and the rewind is noted.
        for tp, offset in committed.items():
            consumer.seek(TopicPartition(*tp), beginnings.get(tp, 0) if offset is None else offset)
        self.transport.note_rewind()
        return committed

    def highwater(self, tp: TP) -> int:
        consumer = self._ensure_consumer()
        # With read_uncommitted it is -1; a broker without transactions may not report it.
        stable = consumer.last_stable_offset(tp)
        return int((consumer.highwater(tp) if stable in {None, -1} else stable) or 0)


class WorkerConsumer(Consumer):
    """Faust's consumer, with the additions that the module describes."""

    transport: WorkerTransport

    async def on_stop(self) -> None:
        """Commit for the last time, in limited time."""
        await _within(_LAST_COMMIT_SECONDS, super().on_stop(), "the last commit")

    def group_failure(self) -> BaseException | None:
        """The error that ended the consumer's membership in its group; None while it lasts.

        After an unexpected error aiokafka does not join the group again, and Faust does not check.
        """
        consumer = self._thread._consumer  # noqa: SLF001
        coordinator = None if consumer is None else consumer._coordinator  # noqa: SLF001
        task = getattr(coordinator, "_coordination_task", None)
        if task is None or not task.done() or task.cancelled():
            return None
        return cast("BaseException | None", task.exception())

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
        if isinstance(batch, _Batch) and batch.rewinds != self.transport.rewinds:
            return {}  # the consumer returned to the commit since: these are fetched again
        return batch

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ARG002 - Faust's signature
        return iter(self.assignment())

    def _new_offset(self, tp: TP) -> int | None:
        return self.transport.committable(tp) or None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: `_new_offset` needs no list of offsets without a message."""

    async def maybe_wait_for_commit_to_finish(self) -> bool:
        """Wait for the commit in progress, if there is one; returns whether it finished.

        Faust mistakes the cancellation of its caller for one of the commit, and begins another: a
        time limit for the last commit had no effect.
        """
        in_progress = self._commit_fut
        if in_progress is None:
            return False
        await asyncio.wait({in_progress})
        return not in_progress.cancelled()

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: `streams.lifecycle.stall_detector` does this.

        Faust looks at the time of the last message. So a partition that was idle for five minutes
        and has just received messages would count as stalled.
        """

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Inform the worker while it can still commit."""
        try:
            if revoked:
                await self.transport.before_revoked(_partitions_of(revoked))
        finally:  # another worker gets the partitions, also if the commit failed
            await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Inform the worker before the first fetch."""
        self.transport.before_assigned(_partitions_of(assigned))
        await super().on_partitions_assigned(assigned, generation_id)


class _Transport(WorkerTransport):
    Consumer: ClassVar[Any] = WorkerConsumer


def install_transport(app: faust.App, fetch_wait: float, isolation_level: str) -> None:
    """Make an app use this transport.

    Args:
        app: the app.
        fetch_wait: longest time that the broker holds an empty fetch while messages arrive, in
            seconds.
        isolation_level: ``read_committed`` or ``read_uncommitted``.
    """
    transport = _Transport(app.conf.broker_consumer, app)
    transport.isolation_level = isolation_level
    transport.fetch_wait = FetchWait(fetch_wait)
    app.transport = transport


def _partitions_of(tps: set[TP]) -> set[Partition]:
    return {Partition(*tp) for tp in tps}


def _positions(consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, int]:
    """The offset that is fetched next, of each assigned partition that has a position."""
    subscription = consumer._subscription.subscription  # noqa: SLF001 - the public call awaits
    if subscription is None or subscription.assignment is None:
        return {}
    consumed = subscription.assignment.all_consumed_offsets()
    return {TP(*tp): position.offset for tp, position in consumed.items()}
