"""Collects a stream of messages into micro-batches that overlap.

While one batch is in the models, the next is decoded and the previous one is written. A plain Faust
agent must not run concurrently, finish messages out of order or raise; so this is done here, once
for all agents. `streams.processing.commit_tracker` decides which offset may be committed.
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
    """How many messages a batcher accepts; all numbers are maxima.

    Attributes:
        batch_size: messages in a batch.
        batch_wait: how long the first message of a batch waits for others, in seconds.
        overlap: batches in work at the same time.
        ahead: messages that wait for a batch, or for a retry after their batch's slot was released.
        held: messages of a partition that are fetched and cannot be committed yet: those that are
            unfinished, and those after an unfinished one.
    """

    batch_size: int
    batch_wait: float
    overlap: int
    ahead: int = 64
    held: int = 1024


@dataclass(frozen=True, slots=True)
class _BatchTask:
    """The task of a batch, and the partitions of its messages."""

    task: "asyncio.Task[None] | None"
    partitions: frozenset[Partition]


class Batcher:
    """Collects messages into batches and processes several batches at the same time.

    Memory is bounded by `has_room`, which the consumer asks before it fetches.

    Attributes:
        tracker: records what was fetched, begun and done.
        ready: set while the stage is ready; otherwise messages wait.
    """

    def __init__(
        self,
        process: Process,
        limits: BatchLimits,
        shed: Shed | None = None,
        pauses: WaitingRetries | None = None,
    ) -> None:
        """Create a batcher; `run` starts it.

        Args:
            process: processes a batch and notes the outcome of every message. It returns only when
                all effects are durable, and never raises, except when it is cancelled.
            limits: how many messages are accepted.
            shed: chooses the waiting messages that are dropped; None drops nothing.
            pauses: counts the messages in work that wait for a retry.
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
        self._without_slot = 0
        self._running: dict[RunningBatch, _BatchTask] = {}
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
            and len(self._waiting) + self._without_slot < self._limits.ahead
            and self.tracker.held(partition) < self._limits.held
        )

    def silent_for(self) -> float:
        """Seconds since the last sign of life of the most silent batch; 0 without batches."""
        now = monotonic()
        return max((now - running.beat_at for running in self._running), default=0.0)

    def admit(self, message: Message) -> None:
        """Accept a message; after a drain it is ignored, and the broker delivers it again."""
        if not self._closed and self.tracker.begin(message):
            self._waiting.append(message)
            self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled. Batches in work are cancelled too, and delivered again."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._slots.acquire()
                batch = await self._collect()
                batches.create_task(self._work(batch))

    async def drain(self, deadline: float) -> bool:
        """Start no waiting message, and wait until the batches in work are done.

        If all remaining messages wait for a retry, something is unavailable, and this does not wait
        for them: another worker gets them.

        No message is accepted until `reopen`: otherwise a message that arrives now could be done
        after the last commit.

        Args:
            deadline: how long to wait, in seconds.

        Returns:
            Whether all messages in work are done.
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
        """Accept messages again: the broker delivers again what was not committed."""
        self._closed = False

    async def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the messages of revoked partitions, and cancel the batches that contain some.

        Returns when no batch with messages of these partitions is in work any more.
        """
        revoked = set(partitions)
        self._waiting = deque(one for one in self._waiting if one.partition not in revoked)
        self.tracker.revoke(revoked)
        cancelled = [
            one.task for one in self._running.values() if one.task and one.partitions & revoked
        ]
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
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
        slot_released = False

        def done(message: Message) -> None:
            nonlocal remaining
            remaining -= 1
            self._without_slot -= slot_released
            self._in_work -= 1
            metrics.EVENTS.labels(topic=topic).inc()
            self.tracker.done(message)
            self._note_idle()

        def release() -> None:
            nonlocal slot_released
            slot_released = True
            self._without_slot += remaining
            self._slots.release()

        running = RunningBatch(done, release)
        partitions = frozenset(message.partition for message in batch)
        self._running[running] = _BatchTask(asyncio.current_task(), partitions)
        try:
            await self._process(batch, running)
        finally:
            self._running.pop(running)
            running.release_slot()
            self._without_slot -= remaining
            self._in_work -= remaining

    def _note_idle(self) -> None:
        if not self._closed:
            return
        stuck = 0 < self._in_work <= self._pauses.count
        if stuck or not self.tracker.unfinished:
            self._idle.set()
