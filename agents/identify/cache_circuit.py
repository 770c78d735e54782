"""A circuit breaker: not every call waits for an unavailable cache.

Each call to a server that hangs takes its whole timeout, and a batch makes several; for all of an
outage identification would be slower than the frames come, with a backlog at its end.

Source: M. Nygard, "Release It!", 2007, "Circuit Breaker".
"""

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from config.observability import metrics
from sinks.store_errors import StoreUnavailable

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

#: After a failure the cache is left alone for so many seconds.
REST_SECONDS = 3.0


class CacheBreaker:
    """Asks the cache, but not while it is known to be away."""

    def __init__(self, rest: float = REST_SECONDS) -> None:
        """Leave the cache alone for ``rest`` seconds after a failure."""
        self._rest = rest
        self._rests_until = 0.0

    async def ask(self, call: Callable[[], Awaitable[Answer]], otherwise: Answer) -> Answer:
        """The result of the call, or the replacement if the cache is unavailable.

        Args:
            call: asks the cache; `StoreUnavailable` counts as away.
            otherwise: the answer without the cache.
        """
        if monotonic() < self._rests_until:
            metrics.CACHE_ERRORS.inc()
            return otherwise
        try:
            return await call()
        except StoreUnavailable as error:
            self._rests_until = monotonic() + self._rest
            metrics.CACHE_ERRORS.inc()
            logger.warning("done without the cache: %s", error)
            return otherwise
