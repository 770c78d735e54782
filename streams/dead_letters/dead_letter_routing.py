"""Make a refused message a dead letter, unless there are too many: then the worker ends."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from domain.failures import Fatal, GivenUp, Reject, Retry
from streams.contract.message import Message
from streams.dead_letters.dead_letter_limit import DeadLetterLimit
from streams.dead_letters.quarantine import Quarantine
from streams.processing.fatal_end import end_worker
from streams.processing.retry_pauses import OneAtATime, RetryPauses, or_retry
from streams.processing.running_batch import RunningBatch
from streams.processing.stage import NotifyCaller, SelfTest

logger = logging.getLogger(__name__)

#: The reason of a message that failed for no known reason, time and again.
UNEXPECTED = "unexpected_error"


class DeadLetterSink(Protocol):
    """Where refused messages are kept."""

    async def send(self, message: Message, reject: Reject, attempts: int) -> None:
        """Keep a message durably.

        Raises:
            Retry: the broker is away.
            Fatal: the deployment does not let this worker write there.
        """


class DeadLetterRouter:
    """Routes the messages of one topic that are refused, and counts them against the limit."""

    def __init__(  # noqa: PLR0913 - the parts of a router, named once
        self,
        sink: DeadLetterSink,
        limit: DeadLetterLimit,
        quarantine: Quarantine,
        pauses: RetryPauses,
        turns: OneAtATime,
        *,
        on_fatal: Callable[[Fatal], None],
        as_one: bool,
        tell: NotifyCaller | None,
        prove: SelfTest | None,
    ) -> None:
        """Put the router together.

        Args:
            sink: keeps the messages.
            limit: how many may be refused.
            quarantine: says which dead letters are their sender's own affair.
            pauses: waits between attempts.
            turns: callers are told one at a time.
            on_fatal: stops the worker; its messages stay open.
            as_one: the limit takes all keys for one.
            tell: is called for every dead letter, once it is durable; None where no caller waits.
            prove: asked before the limit ends the worker for messages whose content may be at
                fault; None where the worker cannot say.
        """
        self._sink = sink
        self._limit = limit
        self._quarantine = quarantine
        self._pauses = pauses
        self._turns = turns
        self._on_fatal = on_fatal
        self._as_one = as_one
        self._tell = tell
        self._prove = prove
        self._proving = asyncio.Lock()

    def processed(self, message: Message) -> None:
        """Note that a message was processed: the limit is on a share."""
        self._limit.note(message, buried=False, as_one=self._as_one)
        self._quarantine.processed(message, by_source=self._as_one)

    async def route(
        self, message: Message, reject: Reject, attempts: int, running: RunningBatch
    ) -> None:
        """Return when a message is durably a dead letter, and its caller is told."""
        excusable = _is_excusable(reject)
        if not self._quarantine.refused(message, excusable=excusable, by_source=self._as_one):
            self._limit.note(message, buried=True, as_one=self._as_one, excusable=excusable)
        if self._limit.reached and not await self._excused(reject):
            await end_worker(
                self._on_fatal,
                Fatal(
                    f"too many dead letters: {self._limit}; the last, {message.address}, was not "
                    f"buried: {reject.reason}: {reject}. "
                    "FECAPASS_WORKERS__DEAD_LETTER_SHARE sets the limit"
                ),
            )
        await self._send(message, reject, attempts, running)
        if self._tell is not None:
            await self._notify(self._tell, message, reject, running)

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
        """Make a dead letter durable; a worker that cannot, for no known reason, ends."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await or_retry(self._sink.send(message, reject, attempts))
            except Retry as failure:
                await self._pauses.wait(attempt, [message], failure, running)
            except Fatal as failure:
                await end_worker(self._on_fatal, failure)
            except Exception as error:
                # Not even the dead letter without its value was taken, or our own code is at fault:
                # to go on would lose the message.
                logger.exception("%s cannot be made a dead letter", message.address)
                await end_worker(
                    self._on_fatal,
                    Fatal(
                        f"{message.address} cannot be made a dead letter "
                        f"({reject.reason}: {reject}): {type(error).__name__}: {error}; "
                        "it stays in its topic"
                    ),
                )
            else:
                return

    async def _notify(
        self, tell: NotifyCaller, message: Message, reject: Reject, running: RunningBatch
    ) -> None:
        """Tell the caller; the dead letter is there, so a failure for good here loses nothing."""
        attempt = 0
        while True:
            attempt += 1
            try:
                # Each may hold connections of a store: a whole batch at once would take them all.
                async with self._turns.turn(running):
                    await or_retry(tell(message, reject))
            except Retry as failure:
                await self._pauses.wait(attempt, [message], failure, running)
            except Fatal as failure:
                await end_worker(self._on_fatal, failure)
            except Exception:
                logger.exception("the caller of %s cannot be told", message.address)
                return
            else:
                return


def _is_excusable(reject: Reject) -> bool:
    """Whether a message is at fault by what it holds, provided that the worker can do its work."""
    return not isinstance(reject, GivenUp) or reject.reason == UNEXPECTED
