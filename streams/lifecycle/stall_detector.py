"""When is a worker stalled? The rule of the watchdog, without the worker.

Faust consumers have been seen to stop fetching after a rebalance (faust issues 175, 523, 532, 629);
a restart mends that. A batch that hangs is mended by one too. An outage of a store is neither: the
batches try again, and say so.
"""

from dataclasses import dataclass

from streams.contract.message import Partition


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What is known of a partition at a moment.

    Attributes:
        end: offset after the last message in the broker; with read_committed, where the first
            transaction begins that is still open.
        fetched: offset that will be fetched next.
        done: offset up to which everything is done (`committable`); None when not known yet.
        has_room: whether the worker wants more of it.
    """

    end: int
    fetched: int
    done: int | None
    has_room: bool

    @property
    def waiting(self) -> int:
        """Messages that the broker has and the worker was not given yet."""
        return max(0, self.end - self.fetched)

    @property
    def lag(self) -> int:
        """Messages that the worker has yet to acknowledge."""
        if self.done is None:
            return self.waiting
        return max(0, self.end - self.done)


class StallDetector:
    """Remembers when each partition last made progress."""

    def __init__(self, timeout: float) -> None:
        """Partitions count as stalled after so many seconds without progress."""
        self._timeout = timeout
        self._last: dict[Partition, tuple[int, int | None, float]] = {}

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._last

    def stalled(self, partition: Partition, state: PartitionState, now: float) -> bool:
        """Take note of a partition's state.

        Args:
            partition: which.
            state: what is known of it now.
            now: seconds of a monotonic clock.

        Returns:
            Whether messages wait that the worker would take, and nothing has moved for too long.
        """
        fetched, done, since = self._last.get(partition, (-1, None, now))
        moved = (state.fetched, state.done) != (fetched, done)
        if moved or state.waiting == 0 or not state.has_room:
            self._last[partition] = (state.fetched, state.done, now)
            return False
        return now - since > self._timeout

    def forget(self, partition: Partition) -> None:
        """The partition belongs to another worker now."""
        self._last.pop(partition, None)
