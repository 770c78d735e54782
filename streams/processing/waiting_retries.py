"""Counts the messages that wait for a retry: a drain does not wait for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WaitingRetries:
    """Counts messages between two attempts; not thread-safe.

    Attributes:
        count: the number of waiting messages.
        changed: called when the number grows.
    """

    def __init__(self) -> None:
        """Start without waiting messages."""
        self.count = 0
        self.changed: Callable[[], None] = _ignore

    @contextmanager
    def of(self, messages: int) -> Iterator[None]:
        """Count a number of messages as waiting until the context ends."""
        self.count += messages
        self.changed()
        try:
            yield
        finally:
            self.count -= messages


def _ignore() -> None:
    pass
