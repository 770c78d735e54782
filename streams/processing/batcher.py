"""From a stream of messages to micro-batches that overlap.

While one batch is in the models, the next is being decoded and the one before it written. What an
agent must not do with Faust's own means (acknowledge out of order, raise, run concurrently) is done
here once, for all agents. Which offset may be committed of what is taken in here, and finished out
of order, `streams.processing.commit_tracker` says.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from config.observability import metrics
from streams.contract.message import Message, Partition
from streams.processing.commit_tracker import CommitTracker
from streams.processing.running_batch import RunningBatch
from streams.processing.stage import Shed
from streams.processing.waiting_retries import WaitingRetries

Process = Callable[[Sequence[Message], RunningBatch], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much a batcher takes in.

    Attributes:
        batch_size: most messages in a batch.
        batch_wait: how long the first message of a batch waits for company, in seconds.
        overlap: most batches in work at once.
        ahead: most messages that wait for a batch, or for a store without holding a batch's place.
        held: most messages of a partition that are fetched and cannot be committed yet: how many
            may be finished behind one that is not.
    """

    batch_size: int
    batch_wait: float
    overlap: int
    ahead: int = 64
    held: int = 1024


@dataclass(frozen=True, slots=True)
class _InWork:
    """The task of a batch, and the partitions that its messages are from."""

    task: "asyncio.Task[None] | None"
    partitions: frozenset[Partition]


class Batcher:
    """Collects messages into batches and keeps a few batches in work at once.

    Memory is bounded by `has_room`, which the consumer asks before it fetches.

    Attributes:
        tracker: knows what was fetched, begun and done.
        ready: set while what does the work is ready for it; else messages wait.
    """

    def __init__(
        self,
        process: Process,
        limits: BatchLimits,
        shed: Shed | None = None,
        pauses: WaitingRetries | None = None,
    ) -> None:
        """Make a batcher; `run` starts it.

        Args:
            process: brings every message of a batch to its outcome, and notes each. It may only
                return when the effects are durable and, but for cancellation, never raises.
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
        self._running: dict[RunningBatch, _InWork] = {}
        self.tracker = CommitTracker()
        self.ready = asyncio.Event()
        self.ready.set()
        self._idle = asyncio.Event()
        self._closed = False

    def has_room(self, partition: Partition) -> bool:
        """Whether more messages of a partition may be fetched."""
        return (
            not self._closed
            and self.ready.is_set()
            and len(self._waiting) + self._aside < self._limits.ahead
            and self.tracker.held(partition) < self._limits.held
        )

    def silent_for(self) -> float:
        """Seconds since the most silent batch in work gave a sign of life; 0 without any."""
        now = monotonic()
        return max((now - running.beat_at for running in self._running), default=0.0)

    def admit(self, message: Message) -> None:
        """Take one message; after a drain none, and the broker will deliver it again."""
        if not self._closed and self.tracker.begin(message):
            self._waiting.append(message)
            self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled. Batches in work are cancelled too; they are delivered again."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._slots.acquire()
                batch = await self._collect()
                batches.create_task(self._work(batch))

    async def drain(self, deadline: float) -> bool:
        """Begin nothing that waits, and wait until what is in work is done.

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
            self.tracker.abandon(self._waiting.pop())
        self._idle.clear()
        self._note_idle()
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            return False
        return not self.tracker.unfinished

    def reopen(self) -> None:
        """Take messages again: the broker delivers again what was not committed."""
        self._closed = False

    async def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions were revoked: cut off what is in work of them; it will not be committed.

        Returns when no batch of these partitions is in work any more.
        """
        gone = set(partitions)
        self._waiting = deque(one for one in self._waiting if one.partition not in gone)
        self.tracker.revoke(gone)
        cut = [one.task for one in self._running.values() if one.task and one.partitions & gone]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
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
            size = min(self._limits.batch_size, len(self._waiting)) if self.ready.is_set() else 0
            batch = [self._waiting.popleft() for _ in range(size)]
        return batch

    async def _arrival(self) -> None:
        while not (self._waiting and self.ready.is_set()):
            if self._waiting:
                await self.ready.wait()
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _drop_stale(self) -> None:
        dropped = set(self._shed(self._waiting)) if self._shed is not None else set()
        if not dropped:
            return
        self._waiting = deque(one for one in self._waiting if one not in dropped)
        for message in dropped:
            metrics.DROPPED.labels(topic=message.partition.topic, reason="stale").inc()
            self.tracker.done(message)

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
            self.tracker.done(message)
            self._note_idle()

        def leave() -> None:
            nonlocal aside
            aside = True
            self._aside += remaining
            self._slots.release()

        running = RunningBatch(done, leave)
        partitions = frozenset(message.partition for message in batch)
        self._running[running] = _InWork(asyncio.current_task(), partitions)
        try:
            await self._process(batch, running)
        finally:
            self._running.pop(running)
            running.release_slot()
            self._aside -= remaining
            self._in_work -= remaining

    def _note_idle(self) -> None:
        if not self._closed:
            return
        stuck = 0 < self._in_work <= self._pauses.count
        if stuck or not self.tracker.unfinished:
            self._idle.set()
