"""What an agent is to the worker that runs it: a stage with a life."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.failures import Reject, Retry
from streams.contract.message import Message, Partition

#: What became of the messages that were not processed: refused, or to be tried again.
Outcomes = Mapping[Message, Reject | Retry]

#: Whether the worker can do its work on a message of its own that is as it should be.
SelfTest = Callable[[], Awaitable[bool]]

#: Tells the caller who waits for a message's outcome that it is a dead letter, and why; harmless
#: when repeated. Raises `Retry` to be called again.
NotifyCaller = Callable[[Message, Reject], Awaitable[None]]

#: Says of all messages that wait, in order, which are not worth the work any more.
Shed = Callable[[Sequence[Message]], Sequence[Message]]


class Stage(ABC):
    """Processes batches of messages, and knows which partitions are its own.

    The order of the calls: `assigned` has returned before the first message of its partitions is
    processed; `revoked` comes after the last of them was, and has returned before another worker
    gets these partitions. What a stage keeps between messages is rebuilt in `assigned` and dropped
    in `revoked`.
    """

    async def assigned(self, partitions: Sequence[Partition]) -> None:  # noqa: B027 - may do nothing
        """Get ready for partitions; called again with the same ones until it returns.

        Raises:
            Retry: a store is away; the call is repeated with growing pauses.
            Fatal: the deployment is at fault; the worker ends.
        """

    @abstractmethod
    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Work on a batch, of any partitions that are assigned. Idempotent.

        Returns:
            The messages that are refused or cannot be processed yet, with the reason of each. The
            effects of all others are durable.

        Raises:
            Retry: to be called again with the same batch.
            Fatal: the deployment is at fault; the worker ends.
        """

    async def revoked(self, partitions: Sequence[Partition]) -> None:  # noqa: B027 - the same
        """Forget what was kept of partitions, also of those that `assigned` did not finish."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """How a stage gets the messages of a topic.

    Attributes:
        stage: processes them.
        batch_size: most messages in a batch.
        overlap: most batches in work at once.
        shed: chooses what is dropped when messages wait; None drops nothing.
        as_one: every message has a key of its own; for the limit on dead letters all are one's.
        tell: is called for every message that became a dead letter; None where no caller waits.
        prove: whether the worker can do this work on a message of its own; None where it cannot
            say.
    """

    stage: Stage
    batch_size: int
    overlap: int
    shed: Shed | None = None
    as_one: bool = False
    tell: NotifyCaller | None = None
    prove: SelfTest | None = None
