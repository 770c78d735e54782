"""The rule that decides when a worker is stalled.

Faust consumers have been seen to stop fetching after a rebalance (faust issues 175, 523, 532, 629);
a restart repairs this, and also a batch that hangs. An outage of a store is neither: the batches
are retried, and each retry is a sign of life.
"""

from dataclasses import dataclass

from streams.contract.message import Partition


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The state of a partition at one moment.

    Attributes:
        end: offset after the last message in the broker; with read_committed, the start of the
            first open transaction.
        fetched: offset that is fetched next.
        done: offset up to which everything is done (`committable`); None if it is not known yet.
        has_room: whether the worker accepts more messages of it.
    """

    end: int
    fetched: int
    done: int | None
    has_room: bool

    @property
    def waiting(self) -> int:
        """Messages that the broker has and the worker has not fetched yet."""
        return max(0, self.end - self.fetched)

    @property
    def lag(self) -> int:
        """Messages that cannot be committed yet."""
        if self.done is None:
            return self.waiting
        return max(0, self.end - self.done)


class StallDetector:
    """Keeps the time of each partition's last progress."""

    def __init__(self, timeout: float) -> None:
        """Partitions are stalled after ``timeout`` seconds without progress."""
        self._timeout = timeout
        self._last: dict[Partition, tuple[int, int | None, float]] = {}

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._last

    def stalled(self, partition: Partition, state: PartitionState, now: float) -> bool:
        """Record the state of a partition.

        Args:
            partition: the partition.
            state: its state now.
            now: seconds of a monotonic clock.

        Returns:
            Whether messages wait that the worker would accept, without progress for too long.
        """
        fetched, done, since = self._last.get(partition, (-1, None, now))
        moved = (state.fetched, state.done) != (fetched, done)
        if moved or state.waiting == 0 or not state.has_room:
            self._last[partition] = (state.fetched, state.done, now)
            return False
        return now - since > self._timeout

    def forget(self, partition: Partition) -> None:
        """Drop a partition that another worker has now."""
        self._last.pop(partition, None)
