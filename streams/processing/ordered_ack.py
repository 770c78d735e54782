"""Acknowledge in order what was finished out of order.

Faust commits past an unfinished message when a later one of the same partition is acknowledged
first (faust issue 606). While several batches of a worker overlap, that happens all the time; so
nothing reaches Faust before everything ahead of it on its partition is finished.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streams.contract.message import Message, Partition


@dataclass(slots=True, eq=False)
class _Tracked:
    """A message's place in the order. Of a finished one only the place is kept, not its bytes."""

    acknowledge: Callable[[], object]
    message: Message | None


class InOrderAcknowledger:
    """Holds back the acknowledgement of each message until those before it are done.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._pending: dict[Partition, OrderedDict[int, _Tracked]] = {}
        self._positions: dict[Partition, int] = {}

    def __len__(self) -> int:
        """Messages that are tracked and not yet acknowledged."""
        return sum(len(pending) for pending in self._pending.values())

    def pending(self, partition: Partition) -> int:
        """Messages of a partition that are tracked and not yet acknowledged."""
        return len(self._pending.get(partition, ()))

    def position(self, partition: Partition) -> int | None:
        """The offset after the last acknowledged message; None before the first."""
        return self._positions.get(partition)

    def track(self, message: Message) -> None:
        """Take note of a message, in the order of delivery, before work on it begins.

        An offset that does not lie past the last one means that the partition was handed back
        and is read again: what was tracked before is of the past and will not be acknowledged.
        """
        pending = self._pending.setdefault(message.partition, OrderedDict())
        if pending and message.offset <= next(reversed(pending)):
            self.forget([message.partition])
            pending = self._pending.setdefault(message.partition, OrderedDict())
        pending[message.offset] = _Tracked(message.acknowledge, message)

    def done(self, message: Message) -> None:
        """The message's effects are durable; acknowledge it and its followers, if it is the head.

        Of a message that was forgotten in the meantime nothing is heard any more.
        """
        pending = self._pending.get(message.partition)
        tracked = pending.get(message.offset) if pending else None
        if pending is None or tracked is None or tracked.message is not message:
            return
        tracked.message = None
        while pending:
            offset, head = next(iter(pending.items()))
            if head.message is not None:
                return
            del pending[offset]
            head.acknowledge()
            self._positions[message.partition] = offset + 1
        del self._pending[message.partition]

    def untrack(self, message: Message) -> None:
        """Work on this message will not begin; the broker will deliver it and its followers again.

        Followers that were finished before it are untracked too: they must not be acknowledged
        past it.
        """
        pending = self._pending.get(message.partition)
        tracked = pending.get(message.offset) if pending else None
        if pending is None or tracked is None or tracked.message is not message:
            return
        while pending and next(reversed(pending)) >= message.offset:
            pending.popitem()
        if not pending:
            del self._pending[message.partition]

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop what is tracked of partitions that this worker has lost."""
        for partition in partitions:
            self._positions.pop(partition, None)
            self._pending.pop(partition, None)
