"""A batch in work, as its handler sees it: signs of life, outcomes, the slot."""

from collections.abc import Callable
from time import monotonic

from streams.contract.message import Message


class RunningBatch:
    """Reports from a batch in work to its batcher.

    Attributes:
        beat_at: time of the last sign of life, seconds of the monotonic clock.
    """

    def __init__(self, done: Callable[[Message], None], release: Callable[[], None]) -> None:
        """Use these functions of the batcher.

        Args:
            done: notes that a message has its outcome.
            release: frees the slot of the batch.
        """
        self._done = done
        self._release = release
        self._has_slot = True
        self.beat_at = monotonic()

    def beat(self) -> None:
        """Give a sign of life: an attempt has ended, with any result."""
        self.beat_at = monotonic()

    def done(self, message: Message) -> None:
        """Report that the outcome of a message is durable."""
        self.beat()
        self._done(message)

    def release_slot(self) -> None:
        """Free the slot: the rest of the batch only waits, so another batch may begin."""
        if self._has_slot:
            self._has_slot = False
            self._release()
