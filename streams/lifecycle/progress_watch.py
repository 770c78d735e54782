"""Watches the progress of a worker: its lag, its batches and its consumer."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, cast

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from config.observability import metrics
from domain.failures import Fatal
from streams.contract.message import Partition
from streams.dead_letters.quarantine import Quarantine
from streams.lifecycle.stall_detector import PartitionState, StallDetector
from streams.processing.batcher import Batcher

if TYPE_CHECKING:
    from streams.faust.transport import WorkerConsumer, WorkerTransport

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0

#: Interval at which the broker is asked for the end offsets, in seconds.
_ENDS_SECONDS = 5.0

#: Errors of the consumer, which runs in another thread: it has not started, or a partition was
#: revoked after it was listed (for which aiokafka uses the last two).
ASSIGNMENT_MOVED = (ConsumerNotStarted, IllegalStateError, AssertionError)


class ProgressWatch:
    """Keeps the lag metrics up to date, and ends a worker that makes no progress."""

    def __init__(  # noqa: PLR0913 - what is watched, named once, where the worker is built
        self,
        app: faust.App,
        batchers: Mapping[str, Batcher],
        quarantine: Quarantine,
        *,
        stall_timeout: float,
        batch_timeout: float,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        """Watch an app and its batchers.

        Args:
            app: whose consumer is watched.
            batchers: by topic.
            quarantine: whose metrics are kept up to date.
            stall_timeout: seconds without progress after which a partition is stalled.
            batch_timeout: seconds without an outcome or a retry after which a batch hangs.
            on_fatal: stops the worker.
        """
        self._app = app
        self._batchers = batchers
        self._quarantine = quarantine
        self._stall_timeout = stall_timeout
        self._batch_timeout = batch_timeout
        self._on_fatal = on_fatal
        self._stall = StallDetector(stall_timeout)
        self._ends: dict[TP, int] = {}

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._quarantine.refresh()
            self._look_at_batches()
            self._look_at_the_group()
            try:
                stalled = [tp for tp in self._app.consumer.assignment() if await self._stalled(tp)]
            except ASSIGNMENT_MOVED as error:
                logger.debug("the lag is not read during a rebalance: %r", error)
                continue
            if stalled and not self._app.rebalancing:
                self._on_fatal(
                    Fatal(
                        f"no progress on {len(stalled)} partition(s) for "
                        f"{self._stall_timeout:.0f} s though messages wait"
                    )
                )

    async def update_ends(self) -> None:
        """Keep the end offsets up to date: a consumer that does not fetch does not receive them."""
        while True:
            await asyncio.sleep(_ENDS_SECONDS)
            try:
                # No timeout here: Faust's consumer would continue with the call, and it runs at
                # most two calls at a time.
                assignment = self._app.consumer.assignment()
                self._ends = dict(await self._app.consumer.highwaters(*assignment))
            except (*ASSIGNMENT_MOVED, KafkaError) as error:
                logger.debug("the end offsets are not available: %r", error)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Stop watching these partitions: another worker has them and reports their lag."""
        for partition in partitions:
            if partition in self._stall:
                self._stall.forget(partition)
                metrics.CONSUMER_LAG.remove(partition.topic, str(partition.number))

    def _look_at_batches(self) -> None:
        for topic, batcher in self._batchers.items():
            metrics.IN_FLIGHT.labels(topic=topic).set(batcher.tracker.in_flight)
            if batcher.silent_for() > self._batch_timeout:
                self._on_fatal(
                    Fatal(
                        f"a batch of {topic} hangs: neither an outcome nor a retry for "
                        f"{self._batch_timeout:.0f} s"
                    )
                )

    def _look_at_the_group(self) -> None:
        try:
            failure = cast("WorkerConsumer", self._app.consumer).group_failure()
        except ASSIGNMENT_MOVED:
            return  # the consumer has not started
        if failure is not None:
            self._on_fatal(Fatal(f"the consumer has left its group for good: {failure}"))

    async def _stalled(self, tp: TP) -> bool:
        """Whether messages wait on a partition and none was fetched for too long."""
        partition = Partition(tp.topic, tp.partition)
        batcher = self._batchers.get(tp.topic)
        end = max(self._app.consumer.highwater(tp) or 0, self._ends.get(tp, 0))
        if batcher is None:
            return False
        transport = cast("WorkerTransport", self._app.transport)
        state = PartitionState(
            end=end,
            fetched=await self._app.consumer.position(tp) or 0,
            done=transport.committable(tp),
            has_room=batcher.has_room(partition),
        )
        metrics.CONSUMER_LAG.labels(topic=tp.topic, partition=str(tp.partition)).set(state.lag)
        return self._stall.stalled(partition, state, monotonic())
