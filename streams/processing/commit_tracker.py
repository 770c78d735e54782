"""When is a message committed? Decided here and nowhere else.

A message takes three steps:

1. *fetched*: a fetch returned it, and the consumer's position is after it;
2. *begun*: the worker has accepted it;
3. *done*: its effects are durable, or it is a dead letter.

The offset that may be committed for a partition is the offset of the first message that was fetched
and is not done; if all are done, it is the consumer's position. From this one rule it follows:

- Batches overlap and finish out of order, but the committed offset moves in order. (Faust commits
  an offset after an unfinished message if a later one is acknowledged first: faust issue 606.)
- A message that was fetched and never begun, because a rebalance dropped it, blocks the committed
  offset, and is delivered again.
- Not every offset belongs to a message. Transaction markers, aborted batches and compacted messages
  have offsets too, and no consumer sees them. They block nothing: the position is after them.

After each rebalance the consumer returns to the committed offsets (`restart`). Everything that is
not committed is fetched again, so the earlier state is discarded: a message that was begun before
the rebalance and is done after it moves no offset.

`streams.faust.transport` notes what is fetched, and commits; `streams.processing.batcher` notes
what is begun and done.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import Enum
from threading import Lock

from streams.contract.message import Message, Partition


class _Step(Enum):
    FETCHED = "fetched"
    DONE = "done"


class _Progress:
    """The state of one partition: its position, and the offsets before it that block the commit.

    The first of them is not done. For a message that is done only the offset is kept, no bytes.
    """

    def __init__(self) -> None:
        self.position = 0
        self.last_fetched = -1
        self.offsets: OrderedDict[int, Message | _Step] = OrderedDict()


class CommitTracker:
    """Decides which offsets of a topic's partitions may be committed.

    Thread-safe: fetches are noted in the consumer's thread, at the moment at which the position
    moves; all other calls come from the worker's event loop.
    """

    def __init__(self) -> None:
        """Start without partitions."""
        self._lock = Lock()
        self._progress: dict[Partition, _Progress] = {}

    def fetched(self, partition: Partition, offsets: Sequence[int], position: int) -> None:
        """Note a fetch.

        Offsets that are not after the last ones mean that the log was truncated or created again,
        and is read again.

        Args:
            partition: the partition of the fetch.
            offsets: of the fetched messages, in order; may be empty.
            position: offset that is fetched next.
        """
        with self._lock:
            progress = self._progress.setdefault(partition, _Progress())
            if offsets and offsets[0] <= progress.last_fetched:
                progress = self._progress[partition] = _Progress()
            if offsets:
                progress.offsets.update((offset, _Step.FETCHED) for offset in offsets)
                progress.last_fetched = offsets[-1]
            progress.position = position

    def begin(self, message: Message) -> bool:
        """Note that work on a message begins.

        Returns:
            Whether it may begin; not if it was fetched before the last restart and will be fetched
            again, or has begun already.
        """
        with self._lock:
            offsets = self._offsets(message.partition)
            if offsets.get(message.offset) is not _Step.FETCHED:
                return False
            offsets[message.offset] = message
            return True

    def done(self, message: Message) -> None:
        """Note that the outcome of a message is durable."""
        with self._lock:
            offsets = self._offsets(message.partition)
            if offsets.get(message.offset) is not message:
                return
            offsets[message.offset] = _Step.DONE
            while offsets and next(iter(offsets.values())) is _Step.DONE:
                offsets.popitem(last=False)

    def abandon(self, message: Message) -> None:
        """Note that a message that was begun will not be done by this worker."""
        with self._lock:
            offsets = self._offsets(message.partition)
            if offsets.get(message.offset) is message:
                offsets[message.offset] = _Step.FETCHED

    def restart(self) -> None:
        """The consumer returned to the committed offsets on all partitions."""
        with self._lock:
            self._progress.clear()

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Drop partitions that another worker gets."""
        with self._lock:
            for partition in partitions:
                self._progress.pop(partition, None)

    def committable(self, partition: Partition) -> int | None:
        """The offset that may be committed for a partition; None before the first fetch."""
        with self._lock:
            progress = self._progress.get(partition)
            return next(iter(progress.offsets), progress.position) if progress else None

    def held(self, partition: Partition) -> int:
        """How many messages of a partition were fetched and cannot be committed yet."""
        with self._lock:
            return len(self._offsets(partition))

    @property
    def in_flight(self) -> int:
        """How many messages were begun and cannot be committed yet."""
        with self._lock:
            return sum(
                step is not _Step.FETCHED
                for progress in self._progress.values()
                for step in progress.offsets.values()
            )

    @property
    def unfinished(self) -> int:
        """How many messages are begun and not done."""
        with self._lock:
            return sum(
                isinstance(step, Message)
                for progress in self._progress.values()
                for step in progress.offsets.values()
            )

    def _offsets(self, partition: Partition) -> OrderedDict[int, Message | _Step]:
        progress = self._progress.get(partition)
        return progress.offsets if progress else OrderedDict()
