"""The life of a worker process: start, run, drain, stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import faust

from config.settings import WorkerSettings
from config.tasks.supervisor import Supervisor
from domain.failures import Fatal
from streams.contract.message import Partition
from streams.dead_letters.dead_letter_limit import DeadLetterLimit, DeadLetterLimitPolicy
from streams.dead_letters.dead_letter_routing import DeadLetterSink
from streams.dead_letters.quarantine import Quarantine
from streams.faust.faust_app import attach
from streams.lifecycle.health_server import Check, HealthServer, health_server_problem, task_checks
from streams.lifecycle.progress_watch import ASSIGNMENT_MOVED, ProgressWatch
from streams.lifecycle.stage_life import StageLife
from streams.monitoring.heartbeats import Condition, HeartbeatSender
from streams.processing.batcher import Batcher, BatchLimits
from streams.processing.error_handling import GuardedHandler
from streams.processing.lasting_retries import LastingRetries
from streams.processing.retry_policy import RetryPolicy
from streams.processing.stage import Subscription
from streams.processing.waiting_retries import WaitingRetries

if TYPE_CHECKING:
    from faust.transport.consumer import Consumer

    from streams.faust.transport import WorkerTransport


logger = logging.getLogger(__name__)

#: Time limit for the batches in work if the worker has failed, in seconds.
_LAST_SECONDS = 2.0

#: Time limit of the last commit, in seconds; what is not committed is delivered again.
_COMMIT_SECONDS = 3.0


class Worker:
    """Runs a Faust app and passes the messages of its topics to stages, until it is stopped."""

    def __init__(  # noqa: PLR0913 - the parts of a process, named once, where it is built
        self,
        app: faust.App,
        subscriptions: Mapping[str, Subscription],
        dead_letters: DeadLetterSink,
        settings: WorkerSettings,
        *,
        checks: Callable[[], Sequence[Check]] = tuple,
        background: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] | None = None,
        stopping: Callable[[], None] = lambda: None,
        heartbeats: HeartbeatSender | None = None,
    ) -> None:
        """Attach the stages to the app.

        Args:
            app: made by `streams.faust.faust_app.create_app`.
            subscriptions: by topic, the stage that processes its messages.
            dead_letters: stores the messages that the stages refuse.
            settings: timeouts, and where to serve health and metrics.
            checks: additional health checks.
            background: by name, what runs together with the stages until it is cancelled; started
                again if it ends by itself.
            stopping: called when the shutdown begins.
            heartbeats: sends this worker's heartbeats; None for a worker that sends none.
        """
        self._app = app
        self._settings = settings
        self._additional_checks = checks
        self._background = background or {}
        self._stopping = stopping
        self._heartbeats = heartbeats
        self._supervisor = Supervisor()
        self._stop = asyncio.Event()
        self._fatal: Fatal | None = None
        self._joined = False
        self._lasting_retries = LastingRetries()
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
        quarantine = Quarantine(limit.failing_share)
        self._batchers: dict[str, Batcher] = {}
        self._lives: list[StageLife] = []
        for topic, wanted in subscriptions.items():
            pauses = WaitingRetries()
            batcher = Batcher(
                GuardedHandler(
                    wanted.stage.process,
                    dead_letters,
                    retry,
                    limit,
                    self.fail,
                    as_one_key=wanted.as_one_key,
                    notify_caller=wanted.notify_caller,
                    pauses=pauses,
                    quarantine=quarantine,
                    self_test=wanted.self_test,
                    lasting_retries=self._lasting_retries,
                ),
                BatchLimits(
                    batch_size=wanted.batch_size,
                    batch_wait=settings.batch_wait,
                    overlap=wanted.overlap,
                    ahead=settings.buffer_messages,
                    held=settings.held_messages,
                ),
                wanted.shed,
                pauses,
            )
            attach(app, topic, batcher)
            self._batchers[topic] = batcher
            self._lives.append(
                StageLife(
                    topic,
                    wanted.stage,
                    batcher,
                    policy=retry,
                    lasting_retries=self._lasting_retries,
                    on_fatal=self.fail,
                )
            )
        self._watch = ProgressWatch(
            app,
            self._batchers,
            quarantine,
            stall_timeout=settings.stall_timeout,
            batch_timeout=settings.batch_timeout,
            on_fatal=self.fail,
        )
        app.on_partitions_assigned.connect(self._on_assigned)
        transport = cast("WorkerTransport", app.transport)
        transport.before_revoked = self._before_revoked
        transport.before_assigned = self._before_assigned

    def stop(self) -> None:
        """Ask the worker to drain and end."""
        self._stopping()
        self._stop.set()

    def fail(self, fatal: Fatal) -> None:
        """Ask the worker to end because of a failure; `run` raises it."""
        if self._fatal is None:
            self._fatal = fatal
            logger.error("%s ends: %s", self._app.conf.id, fatal)
        self.stop()

    async def run(self) -> None:
        """Work until `stop`, SIGTERM or SIGINT; then finish the batches in work, in limited time.

        Raises:
            Fatal: the worker cannot continue; the message says why.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        health = HealthServer(
            self._settings.health_host,
            self._settings.health_port,
            self._app.conf.id,
            self.checks,
            self._settings.address_file,
        )
        try:
            url = await health.start()
        except OSError as error:
            raise Fatal(health_server_problem(self._settings, error)) from error
        logger.info("%s serves %s/health and %s/metrics", self._app.conf.id, url, url)
        try:
            await self.run_as_part()
        finally:
            await health.stop()

    async def run_as_part(self) -> None:
        """Work until `stop`, in a process whose signals and health another worker has.

        Raises:
            Fatal: the worker cannot continue; the message says why.
        """
        await self._run_app()
        if self._fatal is not None:
            raise self._fatal

    async def _run_app(self) -> None:
        """Run the app and its batchers until one of them, or a signal, ends the work."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(batcher.run()) for batcher in self._batchers.values()
        ]
        stopping = asyncio.create_task(self._stop.wait())
        tasks.append(stopping)
        self._start_background()
        try:
            if await self._start_app(stopping):
                tasks.append(asyncio.create_task(self._app.wait_until_stopped()))
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                self._note_cause(ended)
            await self._drain()
            for life in self._lives:
                await life.end()
        finally:
            await self._supervisor.close()
            if self._heartbeats is not None:
                await self._heartbeats.leave()
            await self._app.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        logger.info("%s has stopped", self._app.conf.id)

    async def _start_app(self, stopping: asyncio.Task[Any]) -> bool:
        """Start the app; False if the worker is asked to stop while the broker does not answer."""
        starting = asyncio.create_task(self._app.start())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting}, timeout=_LAST_SECONDS)
            return False
        await starting
        return True

    def _start_background(self) -> None:
        """Start the background tasks; a task that ends is started again."""
        self._supervisor.start("watch-progress", self._watch.run)
        self._supervisor.start("update-ends", self._watch.update_ends)
        for name, run in self._background.items():
            self._supervisor.start(name, run)
        heartbeats = self._heartbeats
        if heartbeats is not None:
            self._supervisor.start("send-heartbeats", lambda: heartbeats.beat(self._condition))

    def _condition(self) -> Condition:
        """The present state of the worker, for a heartbeat."""
        partitions: dict[str, list[int]] = {}
        try:
            for tp in sorted(self._app.consumer.assignment() if self._joined else ()):
                partitions.setdefault(tp.topic, []).append(tp.partition)
        except ASSIGNMENT_MOVED as error:
            logger.debug("the assignment is not read during a rebalance: %r", error)
        return Condition(
            problems=tuple(check.name for check in self.checks() if not check.ok),
            partitions=partitions,
            task_restarts=sum(task.restarts for task in self._supervisor.states()),
        )

    def _note_cause(self, ended: set[asyncio.Task[Any]]) -> None:
        for task in ended:
            error = task.exception()
            if error is not None:
                logger.error("an internal task of the worker failed", exc_info=error)
                self.fail(Fatal(f"an internal task of the worker failed: {error!r}"))
        if not self._stop.is_set():
            reason = getattr(self._app, "crash_reason", None)
            self.fail(Fatal(f"the Kafka client stopped: {reason!r}"))

    async def _drain(self) -> None:
        """Start nothing new, finish the batches in work, commit."""
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
                # A commit in progress began before the last messages were done, and a second
                # commit at the same time would only wait for it.
                while await consumer.maybe_wait_for_commit_to_finish():
                    pass
                await consumer.commit()
        except TimeoutError:
            logger.warning(
                "the broker accepted no commit within %.0f s; messages that were finished since "
                "the last one will be delivered again",
                _COMMIT_SECONDS,
            )

    async def _before_revoked(self, revoked: set[Partition]) -> None:
        """Finish the batches in work before another worker gets these partitions."""
        try:
            await self._finish(min(self._settings.stop_timeout, self._settings.revoke_timeout))
        finally:
            for life in self._lives:
                await life.revoke(revoked)
            self._watch.forget(revoked)

    def _before_assigned(self, assigned: set[Partition]) -> None:
        """Accept messages again, unless the worker is stopping: a rebalance may come then too."""
        if self._stop.is_set():
            return
        for life in self._lives:
            life.assign(assigned)

    async def _on_assigned(self, *_args: Any, **_kwargs: Any) -> None:
        self._joined = True
        if self._heartbeats is not None:
            self._heartbeats.changed()

    def checks(self) -> Sequence[Check]:
        """The health of the worker, with the additional checks."""
        detail = (
            f"{len(self._app.consumer.assignment())} partition(s)"
            if self._joined
            else "joining the consumer group"
        )
        return [
            Check("kafka", self._joined, detail),
            self._lasting_retries.check(),
            *task_checks(self._supervisor.states()),
            *self._additional_checks(),
        ]
