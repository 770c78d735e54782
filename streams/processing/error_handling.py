"""Bring every message of a batch to exactly one outcome: processed, or a dead letter.

This is the one place where a failure meets its treatment; `domain.failures` names them.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn, Protocol, TypeVar

from config.observability import metrics
from config.tasks.cancellation import leaked_cancellation_as
from domain.failures import Denied, Fatal, GivenUp, Reject, Retry
from streams.contract.message import Message
from streams.processing.dead_letter_limit import DeadLetterLimit
from streams.processing.lasting_retries import LastingRetries
from streams.processing.quarantine import Quarantine
from streams.processing.running_batch import RunningBatch
from streams.processing.waiting_retries import WaitingRetries

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: What became of the messages that were not processed: refused, or to be tried again.
Outcomes = Mapping[Message, Reject | Retry]

#: Works on a batch. Returns the messages that it refuses or could not process yet, with the reason
#: of each; the effects of all others are durable. Raises `Retry` to be called again with the same
#: batch.
Handler = Callable[[Sequence[Message]], Awaitable[Outcomes]]

#: Whether the worker can do its work on a message of its own that is as it should be.
SelfTest = Callable[[], Awaitable[bool]]

#: Tells whoever waits for what becomes of a message that it is a dead letter, and why; harmless
#: when repeated. Raises `Retry` to be called again.
NotifyCaller = Callable[[Message, Reject], Awaitable[None]]

UNEXPECTED = "unexpected_error"


class DeadLetterSink(Protocol):
    """Where refused messages are kept."""

    async def send(self, message: Message, reject: Reject, attempts: int) -> None:
        """Keep a message durably.

        Raises:
            Retry: the broker is away.
            Fatal: the deployment does not let this worker write there.
        """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        initial: upper bound of the first pause, in seconds.
        maximum: upper bound of any pause, in seconds.
        unexpected_attempts: how often a message is tried that fails for no known reason.
        denied_patience: for so many seconds a message is tried that somebody denies.
    """

    initial: float = 0.2
    maximum: float = 5.0
    unexpected_attempts: int = 3
    denied_patience: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, counted from 1."""
        bound = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 32))
        return random.uniform(0.0, bound)  # noqa: S311 - jitter, not a secret

    def given_up(self, failure: Retry, seconds: float) -> Reject | None:
        """What a message is refused with that has failed so for so many seconds on end, if so."""
        if isinstance(failure, Denied) and seconds >= self.denied_patience:
            return GivenUp(failure.reason, f"for {seconds:.0f} s: {failure}")
        return None


@dataclass(slots=True)
class Attempts:
    """How often a batch was tried, by how it ended.

    An outage may take any number of attempts, which say nothing about an error that comes after it.

    Attributes:
        total: of every kind.
    """

    total: int = 0
    _awaited: int = 0
    _unexpected: int = 0

    def begin(self) -> int:
        """One more; returns how many that makes in all."""
        self.total += 1
        return self.total

    def awaited(self) -> int:
        """It ended because something is not to be had; returns how many did."""
        self._awaited += 1
        return self._awaited

    def unexpected(self) -> int:
        """It ended for no known reason; returns how many did."""
        self._unexpected += 1
        return self._unexpected


class GuardedHandler:
    """A handler with its failures dealt with: what `Batcher` calls for each batch."""

    def __init__(  # noqa: PLR0913 - the parts of a settlement, named once
        self,
        handler: Handler,
        dead_letters: DeadLetterSink,
        policy: RetryPolicy,
        limit: DeadLetterLimit,
        on_fatal: Callable[[Fatal], None],
        *,
        as_one: bool = False,
        tell: NotifyCaller | None = None,
        pauses: WaitingRetries | None = None,
        quarantine: Quarantine | None = None,
        prove: SelfTest | None = None,
        troubles: LastingRetries | None = None,
    ) -> None:
        """Wrap a handler.

        Args:
            handler: does the work.
            dead_letters: keeps what the handler refuses.
            policy: how long to wait between attempts.
            limit: how many may be refused.
            on_fatal: stops the worker; its messages stay unacknowledged.
            as_one: the limit takes all keys for one.
            tell: is told of every dead letter, once it is durable; None where nobody waits.
            pauses: keeps count of what waits for a retry.
            quarantine: says which dead letters are their sender's own affair; None: of this
                handler's messages alone.
            prove: asked before the limit ends the worker for messages whose content may be at
                fault; None where the worker cannot say.
            troubles: takes note of what is being retried; None where nobody looks.
        """
        self._pauses = pauses or WaitingRetries()
        self._troubles = troubles or LastingRetries()
        self._handler = handler
        self._dead_letters = dead_letters
        self._policy = policy
        self._limit = limit
        self._on_fatal = on_fatal
        self._as_one = as_one
        self._tell = tell
        self._quarantine = quarantine or Quarantine(limit.failing_share)
        self._prove = prove
        self._proving = asyncio.Lock()
        # What was split off its batch is tried one at a time, beside the batches that are whole;
        # so are those told who wait.
        self._one_at_a_time = asyncio.Semaphore(1)
        self._in_turn: list[RunningBatch] = []

    async def __call__(self, batch: Sequence[Message], running: RunningBatch) -> None:
        """Return when every message of the batch is processed or durably a dead letter."""
        try:
            await self._bring(batch, running, split=False)
        finally:
            self._troubles.over(running)

    async def _bring(self, batch: Sequence[Message], running: RunningBatch, *, split: bool) -> None:
        denied_since: dict[Message, float] = {}
        attempts = Attempts()
        while batch:
            attempt = attempts.begin()
            try:
                outcomes = await self._attempt(batch, running, split=split)
            except Retry as failure:
                denied_since.clear()
                await self._wait(attempts.awaited(), batch, failure, running)
            except Fatal as failure:
                await self._end(failure)
            except Exception as error:  # noqa: BLE001 - the boundary: no error may leave an agent
                if await self._unexpected(batch, error, attempts, running):
                    return
            else:
                batch = await self._settle(batch, outcomes, attempt, denied_since, running)
                if batch:
                    running.release_slot()
                    split = True
                    why = next(one for one in outcomes.values() if isinstance(one, Retry))
                    await self._wait(attempts.awaited(), batch, why, running)

    async def _attempt(
        self, batch: Sequence[Message], running: RunningBatch, *, split: bool
    ) -> Outcomes:
        if not split:
            return await _or_retry(self._handler(batch))
        async with self._turn(running):
            return await _or_retry(self._handler(batch))

    @asynccontextmanager
    async def _turn(self, running: RunningBatch) -> AsyncIterator[None]:
        self._in_turn.append(running)
        try:
            async with self._one_at_a_time:
                yield
        finally:
            self._in_turn.remove(running)
            # Against a store that hangs each turn takes its timeout; those behind are alive as
            # long as the turns go on.
            for waiting in self._in_turn:
                waiting.beat()

    async def _settle(
        self,
        batch: Sequence[Message],
        outcomes: Outcomes,
        attempt: int,
        denied_since: dict[Message, float],
        running: RunningBatch,
    ) -> list[Message]:
        """Note what is processed and bury what is refused.

        Args:
            batch: what was worked on.
            outcomes: of those that were not processed.
            attempt: number of the attempt, counted from 1.
            denied_since: of those that were denied last time, since when; is kept up.
            running: of the batch.

        Returns:
            What is to be tried again.
        """
        again = []
        for message in batch:
            outcome = outcomes.get(message)
            if isinstance(outcome, Denied):
                denied_since.setdefault(message, monotonic())
            else:
                denied_since.pop(message, None)
            if isinstance(outcome, Retry):
                since = denied_since.get(message, monotonic())
                given_up = self._policy.given_up(outcome, monotonic() - since)
                if given_up is None:
                    again.append(message)
                    continue
                outcome = given_up
            if outcome is None:
                self._limit.note(message, buried=False, as_one=self._as_one)
                self._quarantine.processed(message, by_source=self._as_one)
            else:
                await self._make_dead_letter(message, outcome, attempt, running)
            running.done(message)
        return again

    async def _unexpected(
        self,
        batch: Sequence[Message],
        error: Exception,
        attempts: "Attempts",
        running: RunningBatch,
    ) -> bool:
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
            await asyncio.gather(
                *(self._bring([message], running, split=True) for message in batch)
            )
            return True
        (message,) = batch
        if not isinstance(error, Reject):
            unexpected = attempts.unexpected()
            if unexpected < self._policy.unexpected_attempts:
                await self._wait(unexpected, batch, error, running)
                return False
            logger.error("%s failed for no known reason", message.address, exc_info=error)
            error = GivenUp(UNEXPECTED, f"{type(error).__name__}: {error}")
        await self._make_dead_letter(message, error, attempts.total, running)
        running.done(message)
        return True

    async def _make_dead_letter(
        self, message: Message, reject: Reject, attempts: int, running: RunningBatch
    ) -> None:
        excusable = _is_excusable(reject)
        if not self._quarantine.refused(message, excusable=excusable, by_source=self._as_one):
            self._limit.note(message, buried=True, as_one=self._as_one, excusable=excusable)
        if self._limit.reached and not await self._excused(reject):
            await self._end(
                Fatal(
                    f"too many dead letters: {self._limit}; the last, {message.address}, was not "
                    f"buried: {reject.reason}: {reject}. "
                    "FECAPASS_WORKERS__DEAD_LETTER_SHARE sets the limit"
                )
            )
        await self._send(message, reject, attempts, running)
        if self._tell is not None:
            await self._notify(message, reject, running)

    async def _excused(self, reject: Reject) -> bool:
        """Whether the worker can do its work, so that the dead letters are their senders' fault."""
        prove = self._prove
        if prove is None or not _is_excusable(reject):
            return False
        if reject.reason == UNEXPECTED and self._quarantine.speakers_fail:
            return False  # an error of our own that the proof does not meet
        async with self._proving:
            if not self._limit.reached:
                return True  # excused while this one waited
            try:
                proven = await prove()
            except Exception:
                logger.exception("this worker cannot do its work on a message of its own")
                proven = False
            if proven:
                self._limit.excuse()
                self._quarantine.excuse()
        return not self._limit.reached

    async def _send(
        self, message: Message, reject: Reject, attempts: int, running: RunningBatch
    ) -> None:
        """Make a letter durable; a worker that cannot, for no known reason, ends."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await _or_retry(self._dead_letters.send(message, reject, attempts))
            except Retry as failure:
                await self._wait(attempt, [message], failure, running)
            except Fatal as failure:
                await self._end(failure)
            except Exception as error:
                # Not even the letter without its value was taken, or our own code is at fault:
                # to go on would lose the message.
                logger.exception("%s cannot be buried", message.address)
                await self._end(
                    Fatal(
                        f"{message.address} cannot be made a dead letter "
                        f"({reject.reason}: {reject}): {type(error).__name__}: {error}; "
                        "it stays in its topic"
                    )
                )
            else:
                return

    async def _notify(self, message: Message, reject: Reject, running: RunningBatch) -> None:
        """Tell who waits; the letter is there, so what goes wrong for good here loses nothing."""
        tell, attempt = self._tell, 0
        while tell is not None:
            attempt += 1
            try:
                # Each may hold connections of a store: a whole batch at once would take them all.
                async with self._turn(running):
                    await _or_retry(tell(message, reject))
            except Retry as failure:
                await self._wait(attempt, [message], failure, running)
            except Fatal as failure:
                await self._end(failure)
            except Exception:
                logger.exception("who waits for %s cannot be told", message.address)
                return
            else:
                return

    async def _end(self, failure: Fatal) -> NoReturn:
        self._on_fatal(failure)
        while True:  # until the worker's stop cancels this batch
            await asyncio.Event().wait()

    async def _wait(
        self, attempt: int, batch: Sequence[Message], failure: Exception, running: RunningBatch
    ) -> None:
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
        with self._pauses.of(len(batch)):
            await asyncio.sleep(pause)
        running.beat()


async def _or_retry(call: Awaitable[Result]) -> Result:
    """Await a call; a cancellation out of a library would end the batch without its outcomes.

    Raises:
        Retry: the call was cancelled and the batch is not, as when connections are closed.
    """
    with leaked_cancellation_as(Retry("a call was cut off from within")):
        return await call


def _is_excusable(reject: Reject) -> bool:
    """Whether a message is at fault by what it holds, provided that the worker can do its work."""
    return not isinstance(reject, GivenUp) or reject.reason == UNEXPECTED
