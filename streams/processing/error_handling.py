"""Bring every message of a batch to exactly one outcome: processed, or a dead letter.

This is the one place where a failure meets its treatment; `domain.failures` names them. How long to
wait is said by `streams.processing.retry_policy`, what becomes of a refused message by
`streams.dead_letters.dead_letter_routing`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from domain.failures import Denied, Fatal, GivenUp, Reject, Retry
from streams.contract.message import Message
from streams.dead_letters.dead_letter_limit import DeadLetterLimit
from streams.dead_letters.dead_letter_routing import UNEXPECTED, DeadLetterRouter, DeadLetterSink
from streams.dead_letters.quarantine import Quarantine
from streams.processing.fatal_end import end_worker
from streams.processing.lasting_retries import LastingRetries
from streams.processing.retry_pauses import OneAtATime, RetryPauses, or_retry
from streams.processing.retry_policy import Attempts, RetryPolicy
from streams.processing.running_batch import RunningBatch
from streams.processing.stage import NotifyCaller, Outcomes, SelfTest
from streams.processing.waiting_retries import WaitingRetries

logger = logging.getLogger(__name__)

#: Works on a batch; see `streams.processing.stage.Stage.process`.
Handler = Callable[[Sequence[Message]], Awaitable[Outcomes]]


class GuardedHandler:
    """A handler with its failures dealt with: what `Batcher` calls for each batch."""

    def __init__(  # noqa: PLR0913 - the parts of the treatment, named once
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
            on_fatal: stops the worker; its messages stay open.
            as_one: the limit takes all keys for one.
            tell: is called for every dead letter, once it is durable; None where no caller waits.
            pauses: keeps count of what waits for a retry.
            quarantine: says which dead letters are their sender's own affair; None: of this
                handler's messages alone.
            prove: asked before the limit ends the worker for messages whose content may be at
                fault; None where the worker cannot say.
            troubles: takes note of what is being retried; None where that is not looked at.
        """
        self._handler = handler
        self._policy = policy
        self._on_fatal = on_fatal
        self._pauses = RetryPauses(policy, pauses or WaitingRetries(), troubles or LastingRetries())
        self._turns = OneAtATime()
        self._router = DeadLetterRouter(
            dead_letters,
            limit,
            quarantine or Quarantine(limit.failing_share),
            self._pauses,
            self._turns,
            on_fatal=on_fatal,
            as_one=as_one,
            tell=tell,
            prove=prove,
        )

    async def __call__(self, batch: Sequence[Message], running: RunningBatch) -> None:
        """Return when every message of the batch is processed or durably a dead letter."""
        try:
            await self._bring(batch, running, split=False)
        finally:
            self._pauses.over(running)

    async def _bring(self, batch: Sequence[Message], running: RunningBatch, *, split: bool) -> None:
        denied_since: dict[Message, float] = {}
        attempts = Attempts()
        while batch:
            attempt = attempts.begin()
            try:
                outcomes = await self._attempt(batch, running, split=split)
            except Retry as failure:
                denied_since.clear()
                await self._pauses.wait(attempts.awaited(), batch, failure, running)
            except Fatal as failure:
                await end_worker(self._on_fatal, failure)
            except Exception as error:  # noqa: BLE001 - the boundary: no error may leave an agent
                if await self._unexpected(batch, error, attempts, running):
                    return
            else:
                batch = await self._settle(batch, outcomes, attempt, denied_since, running)
                if batch:
                    running.release_slot()
                    split = True
                    why = next(one for one in outcomes.values() if isinstance(one, Retry))
                    await self._pauses.wait(attempts.awaited(), batch, why, running)

    async def _attempt(
        self, batch: Sequence[Message], running: RunningBatch, *, split: bool
    ) -> Outcomes:
        if not split:
            return await or_retry(self._handler(batch))
        async with self._turns.turn(running):
            return await or_retry(self._handler(batch))

    async def _settle(
        self,
        batch: Sequence[Message],
        outcomes: Outcomes,
        attempt: int,
        denied_since: dict[Message, float],
        running: RunningBatch,
    ) -> list[Message]:
        """Note what is processed and make dead letters of what is refused.

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
                self._router.processed(message)
            else:
                await self._router.route(message, outcome, attempt, running)
            running.done(message)
        return again

    async def _unexpected(
        self,
        batch: Sequence[Message],
        error: Exception,
        attempts: Attempts,
        running: RunningBatch,
    ) -> bool:
        """One message spoils the batch, or our own code is at fault: isolate it, then refuse it.

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
                await self._pauses.wait(unexpected, batch, error, running)
                return False
            logger.error("%s failed for no known reason", message.address, exc_info=error)
            error = GivenUp(UNEXPECTED, f"{type(error).__name__}: {error}")
        await self._router.route(message, error, attempts.total, running)
        running.done(message)
        return True
