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
        unexpected_attempts: how often a message is tried that fails for no known reason.
        denied_patience: for so many seconds a message is tried that is denied.
    """

    initial: float = 0.2
    maximum: float = 5.0
    unexpected_attempts: int = 3
    denied_patience: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, counted from 1."""
        bound = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 32))
        return random.uniform(0.0, bound)  # noqa: S311 - jitter, not a secret

    def given_up(self, failure: Retry, seconds: float) -> Reject | None:
        """What a message is refused with that has failed so for so many seconds on end, if so."""
        if isinstance(failure, Denied) and seconds >= self.denied_patience:
            return GivenUp(failure.reason, f"for {seconds:.0f} s: {failure}")
        return None


@dataclass(slots=True)
class Attempts:
    """How often a batch was tried, by how it ended.

    An outage may take any number of attempts, which say nothing about an error that comes after it.

    Attributes:
        total: of every kind.
    """

    total: int = 0
    _awaited: int = 0
    _unexpected: int = 0

    def begin(self) -> int:
        """One more; returns how many that makes in all."""
        self.total += 1
        return self.total

    def awaited(self) -> int:
        """It ended because something is not to be had; returns how many did."""
        self._awaited += 1
        return self._awaited

    def unexpected(self) -> int:
        """It ended for no known reason; returns how many did."""
        self._unexpected += 1
        return self._unexpected
