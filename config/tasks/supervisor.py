"""Background tasks of a process: a task that ends is logged, counted and started again.

Nothing else in the processes starts a task that is not awaited; a test checks the sources.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from config.observability import metrics
from config.tasks.cancellation import is_cancelled

logger = logging.getLogger(__name__)

#: A task that has run for so long since its last failure, in seconds, counts as well again.
STEADY_SECONDS = 10.0

#: A cancelled task that a library does not let end is cancelled again after so many seconds: long
#: enough for what it has to close, which a second cancellation would cut off.
_CANCEL_PATIENCE = 2.0

#: So often a task is cancelled before `close` returns without it.
_MOST_CANCELS = 5

#: Each pause is shortened by up to this share, so that processes do not return in step.
_JITTER = 0.3


@dataclass(frozen=True, slots=True)
class TaskState:
    """What is known of a background task.

    Attributes:
        name: of the task.
        restarts: how often it was started again.
        failing: it waits to be started again, or was started again only just now.
        error: name of the exception that ended it last; None when it has never ended.
        expected: that exception is one of those that an outage brings.
    """

    name: str
    restarts: int
    failing: bool
    error: str | None
    expected: bool = False


@dataclass(slots=True)
class _Watched:
    """One task and its past."""

    name: str
    run: Callable[[], Awaitable[None]]
    expected: tuple[type[Exception], ...]
    first_pause: float
    longest_pause: float
    restarts: int = 0
    error: str | None = None
    was_expected: bool = False
    failed_at: float = 0.0
    waiting: bool = False


class Supervisor:
    """Runs the background tasks of a process, or of a part of it, until `close`."""

    def __init__(self) -> None:
        """Without tasks yet; see `start`."""
        self._watched: dict[str, _Watched] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        *,
        expected: tuple[type[Exception], ...] = (),
        first_pause: float = 0.2,
        longest_pause: float = 5.0,
    ) -> None:
        """Run a task in the background, again whenever it ends.

        Args:
            name: what it does, for logs, health and the metric; names are few and fixed.
            run: called for every start. Should it return, that is a failure like any other.
            expected: errors that are logged in one line, such as those of an outage; all others are
                logged with their traceback.
            first_pause: seconds before the first restart; it doubles while the task fails.
            longest_pause: upper bound of the pause in seconds.

        Raises:
            ValueError: there is a task of this name.
        """
        if name in self._watched:
            raise ValueError(f"there is a task {name} already")
        watched = _Watched(name, run, expected, first_pause, longest_pause)
        self._watched[name] = watched
        metrics.TASK_RESTARTS.labels(task=name)
        self._tasks.append(asyncio.create_task(self._keep(watched), name=name))

    @property
    def started(self) -> bool:
        """Whether it has tasks."""
        return bool(self._tasks)

    def states(self) -> list[TaskState]:
        """How every task is doing, in the order of their start."""
        now = monotonic()
        return [
            TaskState(
                one.name,
                one.restarts,
                one.waiting or (one.error is not None and now - one.failed_at < STEADY_SECONDS),
                one.error,
                one.was_expected,
            )
            for one in self._watched.values()
        ]

    async def close(self) -> None:
        """End all tasks, and wait for their end; a task that does not end is logged and left."""
        running, self._tasks = self._tasks, []
        self._watched.clear()
        # Some libraries ignore a cancellation while they read: repeat it until it works.
        for _ in range(_MOST_CANCELS):
            running = [task for task in running if not task.done()]
            if not running:
                return
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=_CANCEL_PATIENCE)
        for task in running:
            if not task.done():
                logger.error("the task %s does not end", task.get_name())

    def _is_closed(self, watched: _Watched) -> bool:
        """Whether `close` was called since the task was started."""
        return self._watched.get(watched.name) is not watched

    async def _keep(self, watched: _Watched) -> None:
        pause = watched.first_pause
        while True:
            began = monotonic()
            try:
                await watched.run()
                error: Exception = RuntimeError("it came to its end")
            except asyncio.CancelledError:
                if is_cancelled() or self._is_closed(watched):
                    raise
                # This task was not cancelled: a library raised its own cancellation.
                error = RuntimeError("it was cancelled from within")
            except Exception as failure:  # noqa: BLE001 - the task must continue after any error
                error = failure
            if self._is_closed(watched):
                return
            if monotonic() - began > STEADY_SECONDS:
                pause = watched.first_pause
            seconds = pause * (1 - _JITTER * random.random())  # noqa: S311 - no secret
            self._note(watched, error, seconds)
            await asyncio.sleep(seconds)
            watched.waiting = False
            pause = min(2 * pause, watched.longest_pause)

    def _note(self, watched: _Watched, error: Exception, seconds: float) -> None:
        watched.restarts += 1
        watched.error = type(error).__name__
        watched.was_expected = isinstance(error, watched.expected)
        watched.failed_at = monotonic()
        watched.waiting = True
        metrics.TASK_RESTARTS.labels(task=watched.name).inc()
        line = "the task %s ended: %s; it starts again in %.1f s"
        detail = " ".join(str(error).split()) or type(error).__name__
        if watched.was_expected:
            logger.warning(line, watched.name, detail, seconds)
        else:
            logger.error(line, watched.name, detail, seconds, exc_info=error)
