"""Bring every message of a batch to exactly one outcome: processed, or a dead letter.

This is the one place where a failure meets its treatment; `streams.failures` names the three.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from config import metrics
from streams.delivery import Delivery
from streams.failures import Fatal, Reject, Retry

logger = logging.getLogger(__name__)

#: Works on a batch. Returns the messages that it refuses, with the reason of each; the effects of
#: all others are durable. Raises `Retry` to be called again with the same batch.
Handler = Callable[[Sequence[Delivery]], Awaitable[Mapping[Delivery, Reject]]]

UNEXPECTED = "unexpected_error"


class DeadLetterOffice(Protocol):
    """Where refused messages are kept."""

    async def send(self, delivery: Delivery, reject: Reject, attempts: int) -> None:
        """Keep a message durably.

        Raises:
            Retry: the broker is away.
        """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        initial: upper bound of the first pause, in seconds.
        maximum: upper bound of any pause, in seconds.
        unexpected_attempts: how often a message is tried that fails for no known reason.
    """

    initial: float = 0.2
    maximum: float = 15.0
    unexpected_attempts: int = 3

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, counted from 1."""
        bound = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 32))
        return random.uniform(0.0, bound)  # noqa: S311 - jitter, not a secret


class Settlement:
    """A handler with its failures dealt with: what `streams.window.Window` calls for each batch."""

    def __init__(
        self,
        handler: Handler,
        dead_letters: DeadLetterOffice,
        policy: RetryPolicy,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        """Wrap a handler.

        Args:
            handler: does the work.
            dead_letters: keeps what the handler refuses.
            policy: how long to wait between attempts.
            on_fatal: stops the worker; its messages stay unacknowledged.
        """
        self._handler = handler
        self._dead_letters = dead_letters
        self._policy = policy
        self._on_fatal = on_fatal

    async def __call__(self, batch: Sequence[Delivery]) -> None:
        """Return when every message of the batch is processed or durably a dead letter."""
        attempt = 0
        while True:
            attempt += 1
            try:
                refused = await self._handler(batch)
            except Retry as failure:
                await self._wait(attempt, batch, failure)
            except Fatal as failure:
                self._on_fatal(failure)
                await asyncio.Event().wait()  # until the worker's stop cancels this batch
            except Exception as error:  # noqa: BLE001 - the boundary: no error may leave an agent
                if await self._unexpected(batch, error, attempt):
                    return
            else:
                for delivery, reject in refused.items():
                    await self._bury(delivery, reject, attempt)
                return

    async def _unexpected(self, batch: Sequence[Delivery], error: Exception, attempt: int) -> bool:
        """One message spoils the batch, or our own code is at fault: isolate it, then bury it.

        Returns:
            True when every message of the batch has its outcome.
        """
        if len(batch) > 1:
            logger.warning(
                "a batch of %d failed and is tried one by one: %s: %s",
                len(batch),
                type(error).__name__,
                error,
            )
            for delivery in batch:
                await self([delivery])
            return True
        (delivery,) = batch
        if isinstance(error, Reject):
            await self._bury(delivery, error, attempt)
            return True
        if attempt < self._policy.unexpected_attempts:
            await self._wait(attempt, batch, error)
            return False
        logger.error("%s failed for no known reason", delivery.address, exc_info=error)
        reject = Reject(UNEXPECTED, f"{type(error).__name__}: {error}")
        await self._bury(delivery, reject, attempt)
        return True

    async def _bury(self, delivery: Delivery, reject: Reject, attempts: int) -> None:
        burial = 0
        while True:
            burial += 1
            try:
                await self._dead_letters.send(delivery, reject, attempts)
            except Retry as failure:
                await self._wait(burial, [delivery], failure)
            else:
                return

    async def _wait(self, attempt: int, batch: Sequence[Delivery], failure: Exception) -> None:
        pause = self._policy.pause(attempt)
        topic = batch[0].partition.topic
        metrics.RETRIES.labels(topic=topic).inc()
        logger.warning(
            "%d message(s) of %s wait %.1f s after attempt %d: %s: %s",
            len(batch),
            topic,
            pause,
            attempt,
            type(failure).__name__,
            failure,
        )
        await asyncio.sleep(pause)
