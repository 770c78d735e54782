"""From a stream of messages to overlapping micro-batches, and back to ordered acknowledgement.

While one batch is in the models, the next is being decoded and the one before it written. What
an agent must not do with Faust's own means (FACTS: acknowledge out of order, raise, run
concurrently), is done here once, for all agents.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from config import metrics
from streams.acknowledgement import InOrderAcknowledger
from streams.delivery import Delivery, Partition

Process = Callable[[Sequence[Delivery]], Awaitable[None]]


class Window:
    """Collects messages into batches and keeps a few batches in work at once.

    Memory is bounded: at most ``overlap`` batches are in work and one more is being filled;
    `admit` waits while there is no room, which makes Faust pause the partitions.
    """

    def __init__(
        self, process: Process, *, batch_size: int, batch_wait: float, overlap: int
    ) -> None:
        """Make a window; `run` gives it life.

        Args:
            process: brings every message of a batch to its outcome. It may only return when the
                effects are durable and, but for cancellation, never raises.
            batch_size: most messages in a batch.
            batch_wait: how long the first message of a batch waits for company, in seconds.
            overlap: most batches in work at once.
        """
        self._process = process
        self._batch_size = batch_size
        self._batch_wait = batch_wait
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue(maxsize=batch_size)
        self._slots = asyncio.Semaphore(overlap)
        self._acknowledger = InOrderAcknowledger()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Messages admitted and not yet acknowledged."""
        return len(self._acknowledger)

    def position(self, partition: Partition) -> int | None:
        """The offset after the last acknowledged message; None before the first."""
        return self._acknowledger.position(partition)

    def moved_at(self, partition: Partition) -> float | None:
        """When (event loop's clock) a message was last acknowledged; None before the first."""
        return self._acknowledger.moved_at(partition)

    async def admit(self, delivery: Delivery) -> None:
        """Take one message; waits while the window is full."""
        self._acknowledger.track(delivery)
        self._idle.clear()
        await self._queue.put(delivery)

    async def run(self) -> None:
        """Work until cancelled. Batches in work are cancelled too, and stay unacknowledged."""
        async with asyncio.TaskGroup() as batches:
            while True:
                await self._slots.acquire()
                batch = await self._collect()
                batches.create_task(self._work(batch))

    async def drain(self, deadline: float) -> bool:
        """Wait until all that was admitted is acknowledged; False when time runs out first.

        Args:
            deadline: how long to wait, in seconds.
        """
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions were revoked: what is in work of them will not be acknowledged."""
        self._acknowledger.forget(partitions)
        self._note_idle()

    async def _collect(self) -> list[Delivery]:
        batch = [await self._queue.get()]
        try:
            async with asyncio.timeout(self._batch_wait):
                while len(batch) < self._batch_size:
                    batch.append(await self._queue.get())
        except TimeoutError:
            pass
        return batch

    async def _work(self, batch: Sequence[Delivery]) -> None:
        try:
            await self._process(batch)
        finally:
            self._slots.release()
        topic = batch[0].partition.topic
        metrics.EVENTS.labels(topic=topic).inc(len(batch))
        metrics.BATCH_FILL.labels(topic=topic).observe(len(batch))
        for delivery in batch:
            self._acknowledger.done(delivery)
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._acknowledger:
            self._idle.set()
