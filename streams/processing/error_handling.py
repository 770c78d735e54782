"""Every message of a batch gets exactly one outcome: processed, or a dead letter.

All failures are handled here; `domain.failures` defines them. `streams.processing.retry_policy`
decides how long to wait, `streams.dead_letters.dead_letter_routing` handles refused messages.
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

#: Processes a batch; see `streams.processing.stage.Stage.process`.
Handler = Callable[[Sequence[Message]], Awaitable[Outcomes]]


class GuardedHandler:
    """Calls a handler and handles its failures; `Batcher` calls this for each batch."""

    def __init__(  # noqa: PLR0913 - the parts of error handling, named once
        self,
        handler: Handler,
        dead_letters: DeadLetterSink,
        policy: RetryPolicy,
        limit: DeadLetterLimit,
        on_fatal: Callable[[Fatal], None],
        *,
        as_one_key: bool = False,
        notify_caller: NotifyCaller | None = None,
        pauses: WaitingRetries | None = None,
        quarantine: Quarantine | None = None,
        self_test: SelfTest | None = None,
        lasting_retries: LastingRetries | None = None,
    ) -> None:
        """Wrap a handler.

        Args:
            handler: processes the messages.
            dead_letters: stores the messages that the handler refuses.
            policy: how long to wait between attempts.
            limit: how many may be refused.
            on_fatal: stops the worker; its messages are not committed.
            as_one_key: the limit counts all messages as one key.
            notify_caller: called for every dead letter, once it is durable; None if no caller
                waits.
            pauses: counts the messages that wait for a retry.
            quarantine: decides for which dead letters only the sender is at fault; None uses a
                quarantine of this handler's messages alone.
            self_test: called before the limit ends the worker because of messages whose content may
                be at fault; None if there is no self-test.
            lasting_retries: records what is being retried; None if no health check needs it.
        """
        self._handler = handler
        self._policy = policy
        self._on_fatal = on_fatal
        self._pauses = RetryPauses(
            policy, pauses or WaitingRetries(), lasting_retries or LastingRetries()
        )
        self._turns = OneAtATime()
        self._router = DeadLetterRouter(
            dead_letters,
            limit,
            quarantine or Quarantine(limit.failing_share),
            self._pauses,
            self._turns,
            on_fatal=on_fatal,
            as_one_key=as_one_key,
            notify_caller=notify_caller,
            self_test=self_test,
        )

    async def __call__(self, batch: Sequence[Message], running: RunningBatch) -> None:
        """Return when every message of the batch is processed or durably a dead letter."""
        try:
            await self._process(batch, running, split=False)
        finally:
            self._pauses.over(running)

    async def _process(
        self, batch: Sequence[Message], running: RunningBatch, *, split: bool
    ) -> None:
        denied_since: dict[Message, float] = {}
        attempts = Attempts()
        while batch:
            attempt = attempts.begin()
            try:
                outcomes = await self._attempt(batch, running, split=split)
            except Retry as failure:
                denied_since.clear()
                await self._pauses.wait(attempts.unavailable(), batch, failure, running)
            except Fatal as failure:
                await end_worker(self._on_fatal, failure)
            except Exception as error:  # noqa: BLE001 - the boundary: no error may leave an agent
                if await self._unexpected(batch, error, attempts, running):
                    return
            else:
                batch = await self._apply_outcomes(batch, outcomes, attempt, denied_since, running)
                if batch:
                    running.release_slot()
                    split = True
                    why = next(one for one in outcomes.values() if isinstance(one, Retry))
                    await self._pauses.wait(attempts.unavailable(), batch, why, running)

    async def _attempt(
        self, batch: Sequence[Message], running: RunningBatch, *, split: bool
    ) -> Outcomes:
        if not split:
            return await or_retry(self._handler(batch))
        async with self._turns.turn(running):
            return await or_retry(self._handler(batch))

    async def _apply_outcomes(
        self,
        batch: Sequence[Message],
        outcomes: Outcomes,
        attempt: int,
        denied_since: dict[Message, float],
        running: RunningBatch,
    ) -> list[Message]:
        """Note the processed messages, and make dead letters of the refused ones.

        Args:
            batch: the messages of the attempt.
            outcomes: of the messages that were not processed.
            attempt: number of the attempt, counted from 1.
            denied_since: by message, since when it has been denied; updated here.
            running: of the batch.

        Returns:
            The messages to retry.
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
                refusal = self._policy.refusal_after(outcome, monotonic() - since)
                if refusal is None:
                    again.append(message)
                    continue
                outcome = refusal
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
        """Handle an unexpected error: isolate the message that causes it, and refuse it at last.

        Returns:
            Whether every message of the batch has its outcome.
        """
        if len(batch) > 1:
            logger.warning(
                "a batch of %d failed and is tried one by one: %s: %s",
                len(batch),
                type(error).__name__,
                error,
            )
            await asyncio.gather(
                *(self._process([message], running, split=True) for message in batch)
            )
            return True
        (message,) = batch
        if not isinstance(error, Reject):
            unexpected = attempts.unexpected()
            if unexpected < self._policy.unexpected_attempts:
                await self._pauses.wait(unexpected, batch, error, running)
                return False
            logger.error("%s failed with an unexpected error", message.address, exc_info=error)
            error = GivenUp(UNEXPECTED, f"{type(error).__name__}: {error}")
        await self._router.route(message, error, attempts.total, running)
        running.done(message)
        return True
