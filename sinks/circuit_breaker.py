"""A circuit breaker: not every call waits for a store that is known to be unavailable.

A store that hangs answers only after the longest timeout. If each call waited for that, work that
does not need the store would wait too. So after a failure the store is not called for a while, and
then one call at a time tries it; all others fail at once, until it answers again.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from domain.failures import Denied, Reject, Retry

Answer = TypeVar("Answer")


class CircuitOpen(Retry):
    """The store failed before and was not called; the message is that of the last failure."""


class CircuitBreaker:
    """Guards the calls to one store. Not thread-safe: it belongs to one event loop."""

    def __init__(self, pause: float = 0.0) -> None:
        """Begin with calls let through.

        Args:
            pause: after a failure, seconds until the store is tried again.
        """
        self._pause = pause
        # Text: the exception would keep the arguments of the call in memory, which may be faces.
        self._failure: str | None = None
        self._next_try = 0.0
        self._is_trying = False

    async def call(self, operation: Callable[[], Awaitable[Answer]]) -> Answer:
        """The result of an operation of the store.

        Args:
            operation: always calls the store. It raises `Retry` while the store is unavailable;
                `Denied` and `Reject` are answers of the store.

        Raises:
            CircuitOpen: the store is unavailable as far as is known, and was not called.
            Retry: the store is unavailable.
        """
        if self._failure is None:
            return await self._observed(operation)
        if self._is_trying or monotonic() < self._next_try:
            raise CircuitOpen(f"{self._failure}; not called again so soon")
        self._is_trying = True
        try:
            return await self._observed(operation)
        finally:
            self._is_trying = False

    async def _observed(self, operation: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await operation()
        except (Denied, Reject):
            self._failure = None
            raise
        except Retry as failure:
            self._failure = str(failure)
            self._next_try = monotonic() + self._pause
            raise
        self._failure = None
        return answer
