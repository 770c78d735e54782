"""The life of a worker process: start, follow, drain, stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from config.observability import metrics
from config.settings import WorkerSettings
from config.tasks.supervisor import Supervisor
from domain.failures import Fatal
from streams.contract.message import Partition
from streams.faust.faust_app import attach, partitions_of
from streams.lifecycle.health_server import Check, HealthServer, task_checks, why_no_health
from streams.lifecycle.stall_detector import PartitionState, StallDetector
from streams.monitoring.heartbeats import Condition, HeartbeatSender
from streams.processing.batcher import Batcher, BatchLimits, Shed
from streams.processing.dead_letter_limit import DeadLetterLimit, DeadLetterLimitPolicy
from streams.processing.error_handling import (
    DeadLetterSink,
    GuardedHandler,
    Handler,
    NotifyCaller,
    RetryPolicy,
    SelfTest,
)
from streams.processing.lasting_retries import LastingRetries
from streams.processing.quarantine import Quarantine
from streams.processing.waiting_retries import WaitingRetries

if TYPE_CHECKING:
    from faust.transport.consumer import Consumer

    from streams.faust.transport import SteeredTransport

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0

#: So often the broker is asked how much lies in it, in seconds.
_ENDS_SECONDS = 5.0

#: A worker that cannot go on finishes what it can within this time.
_LAST_SECONDS = 2.0

#: What was finished last is committed within this time, or delivered again.
_COMMIT_SECONDS = 3.0

#: What the consumer, which lives in a thread of its own, answers about a partition that has gone
#: since it was listed, or before it has started (aiokafka uses both of the others).
_ASSIGNMENT_MOVED = (ConsumerNotStarted, IllegalStateError, AssertionError)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is done with the messages of a topic.

    Attributes:
        handler: works on a batch.
        batch_size: most messages in a batch.
        overlap: most batches in work at once.
        shed: chooses what is dropped when messages wait.
        as_one: every message has a key of its own; for the limit on dead letters all are one's.
        tell: is told of every message that became a dead letter; None where nobody waits.
        prove: whether the worker can do this work on a message of its own; None where it cannot
            say.
    """

    handler: Handler
    batch_size: int
    overlap: int
    shed: Shed | None = None
    as_one: bool = False
    tell: NotifyCaller | None = None
    prove: SelfTest | None = None


class Worker:
    """Runs a Faust app whose topics are fed into windows, until it is told to stop."""

    def __init__(  # noqa: PLR0913 - the parts of a process, named once, where it is built
        self,
        app: faust.App,
        stages: Mapping[str, Stage],
        dead_letters: DeadLetterSink,
        settings: WorkerSettings,
        *,
        checks: Callable[[], Sequence[Check]] = tuple,
        background: Callable[[], Coroutine[Any, Any, None]] | None = None,
        stopping: Callable[[], None] = lambda: None,
        heart: HeartbeatSender | None = None,
    ) -> None:
        """Attach the stages to the app.

        Args:
            app: made by `streams.faust.faust_app.create_app`.
            stages: what is to be done with the messages of each topic.
            dead_letters: keeps what the stages refuse.
            settings: timeouts, and where to serve health and metrics.
            checks: what else decides on the worker's health.
            background: runs alongside the stages until it is cancelled; should it end by itself,
                it is started again.
            stopping: called when the end begins.
            heart: sends this worker's heartbeats; None for a worker that sends none.
        """
        self._app = app
        self._settings = settings
        self._checks = checks
        self._background = background
        self._stopping = stopping
        self._heart = heart
        self._supervisor = Supervisor()
        self._stop = asyncio.Event()
        self._fatal: Fatal | None = None
        self._joined = False
        self._stall = StallDetector(settings.stall_timeout)
        self._ends: dict[TP, int] = {}
        self._troubles = LastingRetries()
        retry = RetryPolicy(
            settings.retry_initial,
            settings.retry_maximum,
            settings.unexpected_attempts,
            settings.denied_patience,
        )
        limit = DeadLetterLimit(
            DeadLetterLimitPolicy(
                settings.dead_letter_share,
                settings.dead_letter_window,
                settings.dead_letter_least,
            )
        )
        pauses = {topic: WaitingRetries() for topic in stages}
        self._quarantine = Quarantine(limit.failing_share)
        self._batchers = {
            topic: Batcher(
                GuardedHandler(
                    stage.handler,
                    dead_letters,
                    retry,
                    limit,
                    self.fail,
                    as_one=stage.as_one,
                    tell=stage.tell,
                    pauses=pauses[topic],
                    quarantine=self._quarantine,
                    prove=stage.prove,
                    troubles=self._troubles,
                ),
                BatchLimits(
                    batch_size=stage.batch_size,
                    batch_wait=settings.batch_wait,
                    overlap=stage.overlap,
                    ahead=settings.buffer_messages,
                    held=settings.held_messages,
                ),
                stage.shed,
                pauses[topic],
            )
            for topic, stage in stages.items()
        }
        for topic, batcher in self._batchers.items():
            attach(app, topic, batcher)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        self._transport = cast("SteeredTransport", app.transport)
        self._transport.before_revoked = self._before_revoked
        self._transport.before_assigned = self._before_assigned

    def stop(self) -> None:
        """Ask the worker to drain and end."""
        self._stopping()
        self._stop.set()

    def fail(self, fatal: Fatal) -> None:
        """Ask the worker to end because it cannot do its work; `run` raises the failure."""
        if self._fatal is None:
            self._fatal = fatal
            logger.error("%s ends: %s", self._app.conf.id, fatal)
        self.stop()

    async def run(self) -> None:
        """Work until `stop`, SIGTERM or SIGINT; then finish what is in flight, within a bound.

        Raises:
            Fatal: the worker cannot go on; the message says why.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        health = HealthServer(
            self._settings.health_host,
            self._settings.health_port,
            self._app.conf.id,
            self._all_checks,
            self._settings.address_file,
        )
        try:
            url = await health.start()
        except OSError as error:
            raise Fatal(why_no_health(self._settings, error)) from error
        logger.info("%s serves %s/health and %s/metrics", self._app.conf.id, url, url)
        try:
            await self._follow()
        finally:
            await health.stop()
        if self._fatal is not None:
            raise self._fatal

    async def _follow(self) -> None:
        """Run the app and its windows until one of them, or a signal, ends the work."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(batcher.run()) for batcher in self._batchers.values()
        ]
        tasks.append(asyncio.create_task(self._stop.wait()))
        self._start_background()
        try:
            await self._app.start()
            crashed = asyncio.create_task(self._app.wait_until_stopped())
            tasks.append(crashed)
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._note_why(ended)
            await self._drain()
        finally:
            await self._supervisor.close()
            if self._heart is not None:
                await self._heart.leave()
            await self._app.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        logger.info("%s has stopped", self._app.conf.id)

    def _start_background(self) -> None:
        """Start what watches, follows and reports; each is started again should it end."""
        self._supervisor.start("watch-progress", self._watch)
        self._supervisor.start("ask-for-ends", self._ask_for_ends)
        if self._background is not None:
            self._supervisor.start("follow-gallery", self._background)
        heart = self._heart
        if heart is not None:
            self._supervisor.start("send-heartbeats", lambda: heart.beat(self._condition))

    def _condition(self) -> Condition:
        """What a heartbeat says of this moment."""
        partitions: dict[str, list[int]] = {}
        try:
            for tp in sorted(self._app.consumer.assignment() if self._joined else ()):
                partitions.setdefault(tp.topic, []).append(tp.partition)
        except _ASSIGNMENT_MOVED as error:
            logger.debug("no look at the assignment during a rebalance: %r", error)
        return Condition(
            problems=tuple(check.name for check in self._all_checks() if not check.ok),
            partitions=partitions,
            task_restarts=sum(task.restarts for task in self._supervisor.states()),
        )

    def _note_why(self, ended: set[asyncio.Task[Any]]) -> None:
        for task in ended:
            error = task.exception()
            if error is not None:
                logger.error("the worker's own machinery failed", exc_info=error)
                self.fail(Fatal(f"the worker's own machinery failed: {error!r}"))
        if not self._stop.is_set():
            reason = getattr(self._app, "crash_reason", None)
            self.fail(Fatal(f"the Kafka client stopped: {reason!r}"))

    async def _drain(self) -> None:
        """Take nothing new, finish what is in flight, commit."""
        await self._finish(_LAST_SECONDS if self._fatal else self._settings.stop_timeout)

    async def _finish(self, seconds: float) -> None:
        consumer = cast("Consumer", self._app.consumer)
        drained = await asyncio.gather(
            *(batcher.drain(seconds) for batcher in self._batchers.values())
        )
        if not all(drained):
            logger.warning(
                "%d message(s) were not finished, or wait for a retry, and will be delivered again",
                sum(batcher.tracker.in_flight for batcher in self._batchers.values()),
            )
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                # A commit that is under way began before the last acknowledgements, and a second
                # one that meets it only waits for it.
                while await consumer.maybe_wait_for_commit_to_finish():
                    pass
                await consumer.commit()
        except TimeoutError:
            logger.warning(
                "the broker took no commit within %.0f s; what was finished since the last one "
                "will be delivered again",
                _COMMIT_SECONDS,
            )

    async def _before_revoked(self) -> None:
        """Finish what is in flight before another worker gets these partitions."""
        await self._finish(min(self._settings.stop_timeout, self._settings.revoke_timeout))

    def _before_assigned(self) -> None:
        """Take messages in again, unless the end has begun: a rebalance may cross it."""
        if self._stop.is_set():
            return
        for batcher in self._batchers.values():
            batcher.reopen()

    async def _on_assigned(self, *_args: Any, **_kwargs: Any) -> None:
        self._joined = True
        if self._heart is not None:
            self._heart.changed()

    async def _on_revoked(self, *args: Any, **_kwargs: Any) -> None:
        """Forget the partitions that another worker gets."""
        revoked: set[TP] = args[1]
        gone = partitions_of(revoked)
        for batcher in self._batchers.values():
            batcher.forget(gone)
        for partition in gone:
            if partition not in self._stall:
                continue
            self._stall.forget(partition)
            metrics.CONSUMER_LAG.remove(partition.topic, str(partition.number))

    async def _watch(self) -> None:
        """Keep the lag up to date, and end a worker that stands still though there is work."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._quarantine.refresh()
            for topic, batcher in self._batchers.items():
                metrics.IN_FLIGHT.labels(topic=topic).set(batcher.tracker.in_flight)
                if batcher.silent_for() > self._settings.batch_timeout:
                    self.fail(
                        Fatal(
                            f"a batch of {topic} hangs: neither an outcome nor a retry for "
                            f"{self._settings.batch_timeout:.0f} s"
                        )
                    )
            try:
                stalled = [tp for tp in self._app.consumer.assignment() if await self._stalled(tp)]
            except _ASSIGNMENT_MOVED as error:
                logger.debug("no look at the lag during a rebalance: %r", error)
                continue
            if stalled and not self._app.rebalancing:
                self.fail(
                    Fatal(
                        f"no progress on {len(stalled)} partition(s) for "
                        f"{self._settings.stall_timeout:.0f} s though messages wait"
                    )
                )

    async def _ask_for_ends(self) -> None:
        """Keep up how much lies in the broker: a consumer that does not fetch never hears of it."""
        while True:
            await asyncio.sleep(_ENDS_SECONDS)
            try:
                # Without a timeout of our own: Faust's consumer would go on with the question, and
                # has two places for all it is asked.
                assignment = self._app.consumer.assignment()
                self._ends = dict(await self._app.consumer.highwaters(*assignment))
            except (*_ASSIGNMENT_MOVED, KafkaError) as error:
                logger.debug("the broker does not say how much lies in it: %r", error)

    async def _stalled(self, tp: TP) -> bool:
        """Whether messages wait on a partition and none was taken in for too long."""
        partition = Partition(tp.topic, tp.partition)
        batcher = self._batchers.get(tp.topic)
        end = max(self._app.consumer.highwater(tp) or 0, self._ends.get(tp, 0))
        if batcher is None:
            return False
        state = PartitionState(
            end=end,
            fetched=await self._app.consumer.position(tp) or 0,
            done=self._transport.committable(tp),
            has_room=batcher.has_room(partition),
        )
        metrics.CONSUMER_LAG.labels(topic=tp.topic, partition=str(tp.partition)).set(state.lag)
        return self._stall.stalled(partition, state, monotonic())

    def _all_checks(self) -> Sequence[Check]:
        detail = (
            f"{len(self._app.consumer.assignment())} partition(s)"
            if self._joined
            else "joining the consumer group"
        )
        return [
            Check("kafka", self._joined, detail),
            self._troubles.check(),
            *task_checks(self._supervisor.states()),
            *self._checks(),
        ]
