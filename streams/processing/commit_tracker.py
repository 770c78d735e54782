"""When is a message committed? Decided here and nowhere else.

A message takes three steps:

1. *fetched*: a fetch has brought it, and the consumer's position lies behind it;
2. *begun*: the worker has taken it in;
3. *done*: its effects are durable, or it is a dead letter.

What may be committed of a partition is the offset of the first message that was fetched and is not
done; where all are done, it is the consumer's position. From this one rule it follows:

- Batches overlap and finish out of order; the offset moves in order. (Faust commits past an
  unfinished message when a later one is acknowledged first: faust issue 606.)
- A message that was fetched and never begun, because a rebalance dropped it on its way, holds the
  offset, and is delivered again.
- Offsets are not numbers of messages. The markers of transactions, aborted batches and what was
  compacted away have offsets, too, and no consumer ever sees them. They hold nothing: the position
  lies behind them.

After each rebalance the consumer goes back to what was committed (`restart`). All that is not
committed is fetched again, so all that was known before is void: what was begun before and is done
later moves no offset.

`streams.faust.transport` notes what is fetched and commits, `streams.processing.batcher` notes what
is begun and done.
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
    """Of one partition: its position, and the offsets in front of it that hold the commit.

    The first of them is not done. Of a message that is done only the offset is kept, not its bytes.
    """

    def __init__(self) -> None:
        self.position = 0
        self.last_fetched = -1
        self.offsets: OrderedDict[int, Message | _Step] = OrderedDict()


class CommitTracker:
    """Says which offsets of a topic's partitions may be committed.

    Thread-safe: fetches are noted in the consumer's thread, at the moment at which the position
    moves; all else happens in the worker's event loop.
    """

    def __init__(self) -> None:
        """Nothing is known of any partition yet."""
        self._lock = Lock()
        self._progress: dict[Partition, _Progress] = {}

    def fetched(self, partition: Partition, offsets: Sequence[int], position: int) -> None:
        """Note a fetch.

        Offsets that do not lie behind the last ones mean that the log was cut off or made again,
        and is read again.

        Args:
            partition: that was fetched from.
            offsets: of the messages that the fetch brought, in order; may be none.
            position: offset that will be fetched next.
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
            False when it may not: it was fetched before the last restart and will be fetched again,
            or is begun already.
        """
        with self._lock:
            offsets = self._offsets(message.partition)
            if offsets.get(message.offset) is not _Step.FETCHED:
                return False
            offsets[message.offset] = message
            return True

    def done(self, message: Message) -> None:
        """Note that a message has its outcome, durably."""
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
        """The consumer has gone back to what was committed, on all partitions."""
        with self._lock:
            self._progress.clear()

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that another worker gets."""
        with self._lock:
            for partition in partitions:
                self._progress.pop(partition, None)

    def committable(self, partition: Partition) -> int | None:
        """The offset up to which all of a partition is done; None before the first fetch."""
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
