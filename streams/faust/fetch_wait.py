"""How long a broker may hold a fetch that finds no message: a short time while messages arrive."""

from dataclasses import dataclass
from math import inf

#: Seconds without a message after which a worker is idle.
_IDLE_AFTER = 2.0

#: Seconds that the broker may hold a fetch of an idle worker. A broker that answers as soon as
#: there is a message loses no time by it. The embedded broker checks again after half of the time:
#: the first message after a pause is up to 0.1 s late.
_IDLE_WAIT = 0.2


@dataclass(slots=True)
class FetchWait:
    """The wait of the next fetch. Frequent empty fetches cost an idle worker and its broker CPU.

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
