"""From a stream of messages to overlapping micro-batches, and back to ordered acknowledgement.

While one batch is in the models, the next is being decoded and the one before it written. What
an agent must not do with Faust's own means (FACTS: acknowledge out of order, raise, run
concurrently), is done here once, for all agents.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from config.observability import metrics
from streams.contract.message import Message, Partition
from streams.processing.ordered_ack import InOrderAcknowledger
from streams.processing.waiting_retries import WaitingRetries


class RunningBatch:
    """What a batch in work tells its window."""

    def __init__(self, done: Callable[[Message], None], leave: Callable[[], None]) -> None:
        """Use the window's own means to note what is done, and to free the batch's place."""
        self._done = done
        self._leave = leave
        self._inside = True
        self.beat_at = monotonic()

    def beat(self) -> None:
        """The batch is alive: an attempt has ended, with whatever result."""
        self.beat_at = monotonic()

    def done(self, message: Message) -> None:
        """A message of the batch has its outcome, durably."""
        self.beat()
        self._done(message)

    def release_slot(self) -> None:
        """What remains of the batch only waits for something: another may begin meanwhile."""
        if self._inside:
            self._inside = False
            self._leave()


Process = Callable[[Sequence[Message], RunningBatch], Awaitable[None]]

#: Says of all that waits, in order, what is not worth the work any more.
Shed = Callable[[Sequence[Message]], Sequence[Message]]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much a window takes.

    Attributes:
        batch_size: most messages in a batch.
        batch_wait: how long the first message of a batch waits for company, in seconds.
        overlap: most batches in work at once.
        ahead: most messages that wait for a batch, or for a store without holding a batch's place.
        held: most messages of a partition that are taken in and not acknowledged: how many may be
            finished behind one that is not.
    """

    batch_size: int
    batch_wait: float
    overlap: int
    ahead: int = 64
    held: int = 1024


class Batcher:
    """Collects messages into batches and keeps a few batches in work at once.

    Memory is bounded by `has_room`, which the consumer asks before it fetches.
    """

    def __init__(
        self,
        process: Process,
        limits: BatchLimits,
        shed: Shed | None = None,
        pauses: WaitingRetries | None = None,
    ) -> None:
        """Make a window; `run` gives it life.

        Args:
            process: brings every message of a batch to its outcome, and tells the ticket. It may
                only return when the effects are durable and, but for cancellation, never raises.
            limits: how much it takes.
            shed: chooses what is dropped when messages wait; None drops nothing.
            pauses: counts what of the work in hand waits for a retry.
        """
        self._pauses = pauses or WaitingRetries()
        self._pauses.changed = self._note_idle
        self._in_work = 0
        self._process = process
        self._limits = limits
        self._shed = shed
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.overlap)
        self._aside = 0
        self._running: set[RunningBatch] = set()
        self._acknowledger = InOrderAcknowledger()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Messages admitted and not yet acknowledged."""
        return len(self._acknowledger)

    def position(self, partition: Partition) -> int | None:
        """The offset after the last acknowledged message; None before the first."""
        return self._acknowledger.position(partition)

    def has_room(self, partition: Partition) -> bool:
        """Whether more messages of a partition may be fetched."""
        return (
            not self._closed
            and len(self._waiting) + self._aside < self._limits.ahead
            and self._acknowledger.pending(partition) < self._limits.held
        )

    def silent_for(self) -> float:
        """Seconds since the most silent batch in work gave a sign of life; 0 without any."""
        now = monotonic()
        return max((now - running.beat_at for running in self._running), default=0.0)

    def admit(self, message: Message) -> None:
        """Take one message; after a drain none, and the broker will deliver it again."""
        if self._closed:
            return
        self._acknowledger.track(message)
        self._idle.clear()
        self._waiting.append(message)
        self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled. Batches in work are cancelled too, and stay unacknowledged."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._slots.acquire()
                batch = await self._collect()
                batches.create_task(self._work(batch))

    async def drain(self, deadline: float) -> bool:
        """Begin nothing that waits, and wait until what is in work is acknowledged.

        When all that is left waits for a retry, something is not to be had, and it is not waited
        for: another worker gets these messages.

        Nothing is taken until `reopen`: a message that was on its way would be begun, and be done
        after the last commit.

        Args:
            deadline: how long to wait, in seconds.

        Returns:
            False when something is left.
        """
        self._closed = True
        while self._waiting:
            self._acknowledger.untrack(self._waiting.pop())
        self._note_idle()
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            return False
        return not self._acknowledger

    def reopen(self) -> None:
        """Take messages again: the broker delivers anew from what was committed."""
        self._closed = False
        if self._acknowledger:
            self._idle.clear()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions were revoked: what is in work of them will not be acknowledged."""
        gone = set(partitions)
        self._waiting = deque(one for one in self._waiting if one.partition not in gone)
        self._acknowledger.forget(gone)
        self._note_idle()

    async def _collect(self) -> list[Message]:
        """The next batch, of at least one message."""
        batch: list[Message] = []
        while not batch:
            await self._arrival()
            try:
                async with asyncio.timeout(self._limits.batch_wait):
                    while len(self._waiting) < self._limits.batch_size:
                        self._arrived.clear()
                        await self._arrived.wait()
            except TimeoutError:
                pass
            self._drop_stale()
            size = min(self._limits.batch_size, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
        return batch

    async def _arrival(self) -> None:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()

    def _drop_stale(self) -> None:
        dropped = set(self._shed(self._waiting)) if self._shed is not None else set()
        if not dropped:
            return
        self._waiting = deque(one for one in self._waiting if one not in dropped)
        for message in dropped:
            metrics.DROPPED.labels(topic=message.partition.topic, reason="stale").inc()
            self._acknowledger.done(message)
        self._note_idle()

    async def _work(self, batch: Sequence[Message]) -> None:
        topic = batch[0].partition.topic
        metrics.BATCH_FILL.labels(topic=topic).observe(len(batch))
        remaining = len(batch)
        self._in_work += remaining
        aside = False

        def done(message: Message) -> None:
            nonlocal remaining
            remaining -= 1
            self._aside -= aside
            self._in_work -= 1
            metrics.EVENTS.labels(topic=topic).inc()
            self._acknowledger.done(message)
            self._note_idle()

        def leave() -> None:
            nonlocal aside
            aside = True
            self._aside += remaining
            self._slots.release()

        running = RunningBatch(done, leave)
        self._running.add(running)
        try:
            await self._process(batch, running)
        finally:
            self._running.discard(running)
            running.release_slot()
            self._aside -= remaining
            self._in_work -= remaining

    def _note_idle(self) -> None:
        stuck = self._closed and 0 < self._in_work <= self._pauses.count
        if stuck or not self._acknowledger:
            self._idle.set()
