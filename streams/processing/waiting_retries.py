"""How many messages wait for a retry: the end of a worker, or of its partitions, does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WaitingRetries:
    """Counts messages between two attempts; not thread-safe.

    Attributes:
        count: how many there are now.
        changed: called when there are more.
    """

    def __init__(self) -> None:
        """None waits yet, and there is no one to be told."""
        self.count = 0
        self.changed: Callable[[], None] = _ignore

    @contextmanager
    def of(self, messages: int) -> Iterator[None]:
        """So many wait, until the body ends."""
        self.count += messages
        self.changed()
        try:
            yield
        finally:
            self.count -= messages


def _ignore() -> None:
    pass
