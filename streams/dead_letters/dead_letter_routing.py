"""Make a refused message a dead letter, unless there are too many: then the worker ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
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

#: The reason of a message that failed several times with an unexpected error.
UNEXPECTED = "unexpected_error"


class DeadLetterSink(Protocol):
    """Stores refused messages."""

    async def send(self, message: Message, reject: Reject, attempts: int) -> None:
        """Store a message durably.

        Raises:
            Retry: the broker is unavailable.
            Fatal: this worker has no permission to write there.
        """


class DeadLetterRouter:
    """Makes dead letters of one topic's refused messages, and counts them for the limit."""

    def __init__(  # noqa: PLR0913 - the parts of a router, named once
        self,
        sink: DeadLetterSink,
        limit: DeadLetterLimit,
        quarantine: Quarantine,
        pauses: RetryPauses,
        turns: OneAtATime,
        *,
        on_fatal: Callable[[Fatal], None],
        as_one_key: bool,
        notify_caller: NotifyCaller | None,
        self_test: SelfTest | None,
    ) -> None:
        """Put the router together.

        Args:
            sink: stores the messages.
            limit: how many may be refused.
            quarantine: decides for which dead letters only the sender is at fault.
            pauses: waits between attempts.
            turns: callers are notified one at a time.
            on_fatal: stops the worker; its messages are not committed.
            as_one_key: the limit counts all messages as one key.
            notify_caller: called for every dead letter, once it is durable; None if no caller
                waits.
            self_test: called before the limit ends the worker because of messages whose content may
                be at fault; None if there is no self-test.
        """
        self._sink = sink
        self._limit = limit
        self._quarantine = quarantine
        self._pauses = pauses
        self._turns = turns
        self._on_fatal = on_fatal
        self._as_one_key = as_one_key
        self._notify_caller = notify_caller
        self._self_test = self_test
        self._self_test_lock = asyncio.Lock()

    def processed(self, message: Message) -> None:
        """Record that a message was processed."""
        self._limit.note(message, is_dead_letter=False, as_one_key=self._as_one_key)
        self._quarantine.processed(message, by_source=self._as_one_key)

    async def route(
        self, message: Message, reject: Reject, attempts: int, running: RunningBatch
    ) -> None:
        """Return when a message is durably a dead letter, and its caller is notified."""
        excusable = _is_excusable(reject)
        if not self._quarantine.refused(message, excusable=excusable, by_source=self._as_one_key):
            self._limit.note(
                message, is_dead_letter=True, as_one_key=self._as_one_key, excusable=excusable
            )
        if self._limit.reached and not await self._excused(reject):
            await end_worker(
                self._on_fatal,
                Fatal(
                    f"too many dead letters: {self._limit}; the last message, {message.address}, "
                    f"is not made a dead letter: {reject.reason}: {reject}. "
                    "FECAPASS_WORKERS__DEAD_LETTER_SHARE sets the limit"
                ),
            )
        await self._send(message, reject, attempts, running)
        if self._notify_caller is not None:
            await self._notify(self._notify_caller, message, reject, running)

    async def _excused(self, reject: Reject) -> bool:
        """Whether the worker passes its self-test, so that the senders are at fault."""
        self_test = self._self_test
        if self_test is None or not _is_excusable(reject):
            return False
        if reject.reason == UNEXPECTED and self._quarantine.many_senders_fail:
            return False  # an error in our own code that the self-test does not find
        async with self._self_test_lock:
            if not self._limit.reached:
                return True  # another call has passed the self-test
            try:
                passed = await self_test()
            except Exception:
                logger.exception("this worker does not pass its self-test")
                passed = False
            if passed:
                self._limit.excuse()
                self._quarantine.excuse()
        return not self._limit.reached

    async def _send(
        self, message: Message, reject: Reject, attempts: int, running: RunningBatch
    ) -> None:
        """Make a dead letter durable; after an unexpected error the worker ends."""
        try:
            await self._retried(
                partial(self._sink.send, message, reject, attempts), message, running
            )
        except Exception as error:
            # The broker does not accept even a dead letter without a value, or our own code is at
            # fault: continuing would lose the message.
            logger.exception("%s cannot be made a dead letter", message.address)
            await end_worker(
                self._on_fatal,
                Fatal(
                    f"{message.address} cannot be made a dead letter "
                    f"({reject.reason}: {reject}): {type(error).__name__}: {error}; "
                    "it stays in its topic"
                ),
            )

    async def _notify(
        self, notify_caller: NotifyCaller, message: Message, reject: Reject, running: RunningBatch
    ) -> None:
        """Notify the caller; the dead letter is durable, so a permanent failure loses nothing."""

        async def in_turn() -> None:
            # Each call may use connections of a store: a whole batch at once would use all.
            async with self._turns.turn(running):
                await notify_caller(message, reject)

        try:
            await self._retried(in_turn, message, running)
        except Exception:
            logger.exception("the caller of %s cannot be notified", message.address)

    async def _retried(
        self, call: Callable[[], Awaitable[None]], message: Message, running: RunningBatch
    ) -> None:
        """Call until the store or the broker is available; after a `Fatal` the worker ends."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await or_retry(call())
            except Retry as failure:
                await self._pauses.wait(attempt, [message], failure, running)
            except Fatal as failure:
                await end_worker(self._on_fatal, failure)


def _is_excusable(reject: Reject) -> bool:
    """Whether the content of a message is at fault, provided that the worker can do its work."""
    return not isinstance(reject, GivenUp) or reject.reason == UNEXPECTED
