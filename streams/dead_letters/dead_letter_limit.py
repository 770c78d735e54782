"""A limit on the share of dead letters: a broken deployment must not refuse a whole topic.

The share is the mean, over the keys (cameras), of each key's share among the last messages of this
worker. A broken release affects every camera's messages and reaches the limit; one camera that
sends only invalid input, at any speed, affects only its own share. If every message has its own
key, as uploads do, all count as one key; otherwise any client that may upload could reach the
limit. Dead letters for which only the sender is at fault are not counted here (`quarantine`).
"""

from collections import deque
from dataclasses import dataclass

from streams.contract.message import Message


@dataclass(frozen=True, slots=True)
class DeadLetterLimitPolicy:
    """When there are too many dead letters.

    Attributes:
        share: the maximum share of dead letters, 0 to 1; 1 sets no limit.
        window: the number of last messages that count.
        least: the minimum number of dead letters among them.
    """

    share: float
    window: int
    least: int


class DeadLetterLimit:
    """Keeps the last outcomes, and decides whether one more dead letter is too many."""

    def __init__(self, policy: DeadLetterLimitPolicy) -> None:
        """Start without outcomes."""
        self._policy = policy
        # Hashes of keys: a key may have megabytes.
        self._last: deque[tuple[int, bool, bool]] = deque()
        self._by_key: dict[int, tuple[int, int]] = {}
        self._dead_letters = 0

    def note(
        self,
        message: Message,
        *,
        is_dead_letter: bool,
        as_one_key: bool = False,
        excusable: bool = False,
    ) -> None:
        """Record the outcome of a message.

        Args:
            message: the message.
            is_dead_letter: whether it is a dead letter.
            as_one_key: all messages of its topic count as one key.
            excusable: if the worker passes its self-test, the content of the message is at fault.
        """
        hashed = hash(message.partition.topic if as_one_key else message.key)
        self._count(hashed, is_dead_letter=is_dead_letter, by=1)
        self._last.append((hashed, is_dead_letter, excusable))
        if len(self._last) > self._policy.window:
            key, was_dead_letter, _ = self._last.popleft()
            self._count(key, is_dead_letter=was_dead_letter, by=-1)

    def excuse(self) -> None:
        """The self-test has passed: remove the dead letters whose content is at fault."""
        for key, is_dead_letter, excusable in self._last:
            if is_dead_letter and excusable:
                self._count(key, is_dead_letter=True, by=-1)
        self._last = deque(one for one in self._last if not (one[1] and one[2]))

    @property
    def failing_share(self) -> float:
        """A sender with a larger share of dead letters fails; 0.5 if there is no limit."""
        return self._policy.share if self._policy.share < 1.0 else 0.5

    @property
    def share(self) -> float:
        """The mean over the keys of their share of dead letters, 0 to 1."""
        if not self._by_key:
            return 0.0
        return sum(dead / total for total, dead in self._by_key.values()) / len(self._by_key)

    @property
    def reached(self) -> bool:
        """Whether one more dead letter would exceed the limit."""
        return (
            self._policy.share < 1.0
            and self._dead_letters >= self._policy.least
            and self.share > self._policy.share
        )

    def __str__(self) -> str:
        return (
            f"{self._dead_letters} of the last {len(self._last)} messages are dead letters, "
            f"{self.share:.0%} on average over {len(self._by_key)} key(s); "
            f"at most {self._policy.share:.0%} may be"
        )

    def _count(self, key: int, *, is_dead_letter: bool, by: int) -> None:
        total, dead = self._by_key.get(key, (0, 0))
        total += by
        self._dead_letters += by * is_dead_letter
        if total:
            self._by_key[key] = (total, dead + by * is_dead_letter)
        else:
            del self._by_key[key]
