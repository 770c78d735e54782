"""A batch in work, as its handler sees it."""

from collections.abc import Callable
from time import monotonic

from streams.contract.message import Message


class RunningBatch:
    """What a batch in work tells the batcher that has begun it.

    Attributes:
        beat_at: when it gave the last sign of life, seconds of the monotonic clock.
    """

    def __init__(self, done: Callable[[Message], None], leave: Callable[[], None]) -> None:
        """Use the batcher's own means.

        Args:
            done: notes that a message has its outcome.
            leave: frees the batch's place among those in work.
        """
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
        """What remains of the batch only waits: another batch may begin."""
        if self._inside:
            self._inside = False
            self._leave()
