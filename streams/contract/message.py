"""One Kafka message on its way through a worker."""

from dataclasses import dataclass
from typing import NamedTuple


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message as the broker delivered it.

    Attributes:
        partition: the partition that it is from.
        offset: its offset there.
        key: as sent; None if the producer set none.
        value: as sent.
        headers: as sent, in order, repetitions included.
        timestamp: Kafka's timestamp, seconds since the epoch.
        by_broker: whether the broker set the timestamp (LogAppendTime), and not the producer.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp: float
    by_broker: bool = False

    @property
    def address(self) -> str:
        """``topic/partition/offset``, unique for the life of the topic."""
        return f"{self.partition.topic}/{self.partition.number}/{self.offset}"
