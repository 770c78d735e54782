"""A stage: the interface between an agent and the worker that runs it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.failures import Reject, Retry
from streams.contract.message import Message, Partition

#: The outcomes of messages that were not processed: refused, or to be retried.
Outcomes = Mapping[Message, Reject | Retry]

#: Tests with a valid message of its own whether the worker can do its work.
SelfTest = Callable[[], Awaitable[bool]]

#: Notifies the caller that waits for the outcome of a message that it is a dead letter, and why;
#: harmless when repeated. Raises `Retry` to be called again.
NotifyCaller = Callable[[Message, Reject], Awaitable[None]]

#: Takes all waiting messages, in order, and returns those that are dropped.
Shed = Callable[[Sequence[Message]], Sequence[Message]]


class Stage(ABC):
    """Processes batches of messages, and is informed which partitions it has.

    The order of the calls: `assigned` returns before the first message of its partitions is
    processed; `revoked` is called after the last one, and returns before another worker gets these
    partitions. State that a stage keeps between messages is rebuilt in `assigned` and dropped in
    `revoked`.
    """

    async def assigned(self, partitions: Sequence[Partition]) -> None:  # noqa: B027 - may do nothing
        """Get ready for partitions; called again with the same ones until it returns.

        Raises:
            Retry: a store is unavailable; the call is repeated with growing pauses.
            Fatal: the deployment is at fault; the worker ends.
        """

    @abstractmethod
    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Process a batch of messages of any assigned partitions. Idempotent.

        Returns:
            The messages that are refused or cannot be processed yet, with the reason of each. The
            effects of all others are durable.

        Raises:
            Retry: to be called again with the same batch.
            Fatal: the deployment is at fault; the worker ends.
        """

    async def revoked(self, partitions: Sequence[Partition]) -> None:  # noqa: B027 - the same
        """Drop the state of partitions, also of those for which `assigned` did not return."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """How a stage gets the messages of a topic.

    Attributes:
        stage: processes them.
        batch_size: maximum number of messages in a batch.
        overlap: maximum number of batches in work at the same time.
        shed: chooses the waiting messages that are dropped; None drops nothing.
        as_one_key: the limit on dead letters counts all messages as one key, because each message
            has its own key.
        notify_caller: called for every message that became a dead letter; None if no caller waits.
        self_test: whether the worker can do its work; None if there is no self-test.
    """

    stage: Stage
    batch_size: int
    overlap: int
    shed: Shed | None = None
    as_one_key: bool = False
    notify_caller: NotifyCaller | None = None
    self_test: SelfTest | None = None
