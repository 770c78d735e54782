"""How long to wait before the next attempt, and when to stop trying."""

import random
from dataclasses import dataclass

from domain.failures import Denied, GivenUp, Reject, Retry


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        initial: upper bound of the first pause, in seconds.
        maximum: upper bound of any pause, in seconds.
        unexpected_attempts: number of attempts at a message that fails with unexpected errors.
        denied_patience: seconds for which a denied message is retried.
    """

    initial: float = 0.2
    maximum: float = 5.0
    unexpected_attempts: int = 3
    denied_patience: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after an attempt; attempts are counted from 1."""
        bound = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 32))
        return random.uniform(0.0, bound)  # noqa: S311 - jitter, not a secret

    def refusal_after(self, failure: Retry, seconds: float) -> Reject | None:
        """The refusal of a message that has failed like this for some time; None to retry it.

        Args:
            failure: the last failure.
            seconds: since the first of an unbroken series of such failures.
        """
        if isinstance(failure, Denied) and seconds >= self.denied_patience:
            return GivenUp(failure.reason, f"for {seconds:.0f} s: {failure}")
        return None


@dataclass(slots=True)
class Attempts:
    """Counts the attempts at a batch by their result.

    An outage may take any number of attempts; an unexpected error after it has its own count.

    Attributes:
        total: number of all attempts.
    """

    total: int = 0
    _unavailable: int = 0
    _unexpected: int = 0

    def begin(self) -> int:
        """Count an attempt; returns the total."""
        self.total += 1
        return self.total

    def unavailable(self) -> int:
        """Count an attempt that failed because something is unavailable; returns their number."""
        self._unavailable += 1
        return self._unavailable

    def unexpected(self) -> int:
        """Count an attempt that failed with an unexpected error; returns their number."""
        self._unexpected += 1
        return self._unexpected
