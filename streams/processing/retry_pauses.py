"""Pauses between the attempts at a batch, and turns for messages that are tried one by one."""

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
    """Waits after a failed attempt, and informs metrics, health check and drain of the worker."""

    def __init__(
        self, policy: RetryPolicy, waiting: WaitingRetries, lasting_retries: LastingRetries
    ) -> None:
        """Use these parts of the worker.

        Args:
            policy: how long to wait.
            waiting: counts the messages that wait for a retry.
            lasting_retries: records what is being retried.
        """
        self._policy = policy
        self._waiting = waiting
        self._lasting_retries = lasting_retries

    async def wait(
        self, attempt: int, batch: Sequence[Message], failure: Exception, running: RunningBatch
    ) -> None:
        """Wait after a failed attempt; attempts are counted from 1."""
        running.beat()
        pause = self._policy.pause(attempt)
        topic = batch[0].partition.topic
        metrics.RETRIES.labels(topic=topic).inc()
        self._lasting_retries.note(running, topic, failure)
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
        """Note that a batch has its outcome and is not retried any more."""
        self._lasting_retries.over(running)


class OneAtATime:
    """Gives turns to messages that were split off their batches; whole batches need no turn."""

    def __init__(self) -> None:
        """Start with a free turn."""
        self._turn = asyncio.Semaphore(1)
        self._in_turn: list[RunningBatch] = []

    @asynccontextmanager
    async def turn(self, running: RunningBatch) -> AsyncIterator[None]:
        """Wait for the turn, and keep it until the context ends."""
        self._in_turn.append(running)
        try:
            async with self._turn:
                yield
        finally:
            self._in_turn.remove(running)
            # If a store hangs, each turn takes a whole timeout. Batches that wait for their turn
            # count as alive as long as turns end.
            for waiting in self._in_turn:
                waiting.beat()


async def or_retry(call: Awaitable[Result]) -> Result:
    """Await a call; a cancellation that comes from a library does not end the batch.

    Raises:
        Retry: the call was cancelled but the batch was not, for example when a library closes its
            connections.
    """
    with leaked_cancellation_as(Retry("a library cancelled its own call")):
        return await call
