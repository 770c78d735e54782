"""How long a broker may hold a fetch that finds no message: a short time while messages arrive."""

from dataclasses import dataclass
from math import inf

from aiokafka import AIOKafkaConsumer

from streams.clients.client_factory import set_attribute

#: Seconds without a message after which a consumer is idle.
_IDLE_AFTER = 2.0

#: Seconds that the broker may hold a fetch of an idle consumer. A broker that answers as soon as
#: there is a message loses no time by it. The embedded broker checks again after half of the time:
#: the first message of a topic after a pause is up to 0.1 s late.
_IDLE_WAIT = 0.2


@dataclass(slots=True)
class FetchWait:
    """The wait of the next fetch. Frequent empty fetches cost consumer and broker CPU.

    Attributes:
        busy: seconds while messages arrive.
        last: time of the last message, in seconds of the caller's clock.
    """

    busy: float
    last: float = -inf

    def received(self, now: float) -> None:
        """A fetch brought messages."""
        self.last = now

    def milliseconds(self, now: float) -> int:
        """The wait of the next fetch, at least 1."""
        is_idle = now - self.last > _IDLE_AFTER
        return max(1, int((max(self.busy, _IDLE_WAIT) if is_idle else self.busy) * 1000))

    def apply(self, consumer: AIOKafkaConsumer, now: float) -> None:
        """Use this wait for the next fetches of a started consumer.

        aiokafka takes the wait only when a consumer is made, but reads it for each fetch.

        Raises:
            RuntimeError: this release of aiokafka keeps it elsewhere.
        """
        fetcher = getattr(consumer, "_fetcher", None)
        set_attribute(fetcher, "_fetch_max_wait_ms", self.milliseconds(now))
