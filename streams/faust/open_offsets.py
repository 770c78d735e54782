"""Which offsets of a partition were brought by fetches and are not acknowledged yet."""

from collections import deque
from collections.abc import Sequence
from threading import Lock


class OpenOffsets:
    """Offsets in the order of the log, from the fetch until the acknowledgement.

    A message that was fetched and never begun, because its batch was dropped or its worker was
    just giving partitions back, stays open: nothing is committed past it, so it is delivered again.
    Fetches are noted in the consumer's thread, acknowledgements in the worker's.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._last = -1

    def brought(self, offsets: Sequence[int]) -> None:
        """Note a fetch. One that does not lie behind the last reads the partition again."""
        with self._lock:
            if offsets[0] <= self._last:
                self._open.clear()
                self._done.clear()
            self._open.extend(offsets)
            self._last = offsets[-1]

    def acknowledged(self, offset: int) -> None:
        """The effects of a message are durable."""
        with self._lock:
            self._done.add(offset)

    def first(self) -> int | None:
        """The first open offset; None when all that was fetched is acknowledged."""
        with self._lock:
            while self._open and self._open[0] in self._done:
                self._done.discard(self._open.popleft())
            return self._open[0] if self._open else None
