"""The pauses between the attempts at a batch, and whose turn it is among those tried one by one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from config.observability import metrics
from config.tasks.cancellation import leaked_cancellation_as
from domain.failures import Retry
from streams.contract.message import Message
from streams.processing.lasting_retries import LastingRetries
from streams.processing.retry_policy import RetryPolicy
from streams.processing.running_batch import RunningBatch
from streams.processing.waiting_retries import WaitingRetries

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class RetryPauses:
    """Waits after a failed attempt; metrics, health and the drain of the worker see it."""

    def __init__(
        self, policy: RetryPolicy, waiting: WaitingRetries, troubles: LastingRetries
    ) -> None:
        """Note pauses in the means of the worker.

        Args:
            policy: how long to wait.
            waiting: keeps count of what waits for a retry.
            troubles: takes note of what is being retried.
        """
        self._policy = policy
        self._waiting = waiting
        self._troubles = troubles

    async def wait(
        self, attempt: int, batch: Sequence[Message], failure: Exception, running: RunningBatch
    ) -> None:
        """Wait after the attempt of this number, counted from 1, which ended with a failure."""
        running.beat()
        pause = self._policy.pause(attempt)
        topic = batch[0].partition.topic
        metrics.RETRIES.labels(topic=topic).inc()
        self._troubles.note(running, topic, failure)
        logger.warning(
            "%d message(s) of %s wait %.1f s after attempt %d: %s: %s",
            len(batch),
            topic,
            pause,
            attempt,
            type(failure).__name__,
            failure,
        )
        with self._waiting.of(len(batch)):
            await asyncio.sleep(pause)
        running.beat()

    def over(self, running: RunningBatch) -> None:
        """A batch has its outcome, and is not retried any more."""
        self._troubles.over(running)


class OneAtATime:
    """Turns of those that were split off their batches; whole batches need none."""

    def __init__(self) -> None:
        """No batch waits for its turn yet."""
        self._turn = asyncio.Semaphore(1)
        self._in_turn: list[RunningBatch] = []

    @asynccontextmanager
    async def turn(self, running: RunningBatch) -> AsyncIterator[None]:
        """Wait for the turn, and have it until the body ends."""
        self._in_turn.append(running)
        try:
            async with self._turn:
                yield
        finally:
            self._in_turn.remove(running)
            # Against a store that hangs each turn takes its timeout; those behind are alive as
            # long as the turns go on.
            for waiting in self._in_turn:
                waiting.beat()


async def or_retry(call: Awaitable[Result]) -> Result:
    """Await a call; a cancellation out of a library would end the batch without its outcomes.

    Raises:
        Retry: the call was cancelled and the batch is not, as when connections are closed.
    """
    with leaked_cancellation_as(Retry("a call was cut off from within")):
        return await call
