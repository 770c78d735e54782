"""How often a key, or an address, may call: counted for all processes in Redis, else for each."""

import logging
import math
from collections.abc import Callable
from functools import partial
from time import time

from api.http.problems import ApiProblem
from config.observability import metrics
from sinks.cache.request_rates import WINDOW, Rates
from sinks.circuit_breaker import CircuitBreaker, CircuitOpen
from sinks.store_errors import StoreUnavailable

logger = logging.getLogger(__name__)

#: After a failure Redis is not called for so many seconds.
_CACHE_PAUSE = 2.0

_RETRY_AFTER = str(WINDOW // 6)


class LocalRates:
    """Counts calls as `sinks.cache.request_rates.Rates` does, in this process alone."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        """Begin without any calls.

        Args:
            clock: seconds since whenever.
        """
        self._clock = clock
        self._window = 0
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def count(self, caller: str) -> float:
        """Note one call; returns how many there were in the last minute, this one included."""
        window, elapsed = divmod(self._clock(), WINDOW)
        if window != self._window:
            self._before = self._now if window == self._window + 1 else {}
            self._now = {}
            self._window = int(window)
        self._now[caller] = self._now.get(caller, 0) + 1
        return self._now[caller] + self._before.get(caller, 0) * (1.0 - elapsed / WINDOW)


class RequestLimit:
    """Refuses callers that send too many requests.

    The loss of the cache must neither block all callers nor remove the limit: without Redis each
    process counts by itself, so that the limit of a key applies to each process.
    """

    def __init__(self, rates: Rates, per_minute: int, name: str, refusal: str) -> None:
        """Count in ``rates``.

        Args:
            rates: for all processes together.
            per_minute: calls that each caller has.
            name: of the limit.
            refusal: a sentence for callers who have made more.
        """
        self._rates = rates
        self._local = LocalRates()
        self._limit = per_minute
        self._name = name
        self._refusal = refusal
        self._cache = CircuitBreaker(_CACHE_PAUSE)

    async def count(self, caller: str) -> int:
        """Note a call; returns how many are left.

        Raises:
            ApiProblem: ``too_many_requests``.
        """
        left = math.floor(self._limit - await self._calls(caller))
        if left < 0:
            metrics.HTTP_REFUSED.labels(reason="rate").inc()
            raise ApiProblem(
                429,
                "too_many_requests",
                self._refusal,
                headers={"Retry-After": _RETRY_AFTER} | self.headers(0),
            )
        return left

    def headers(self, left: int) -> dict[str, str]:
        """What a response says of the limit.

        Source: "RateLimit header fields for HTTP", draft-ietf-httpapi-ratelimit-headers-10.

        Args:
            left: calls that are left.
        """
        return {
            "RateLimit-Policy": f'"{self._name}";q={self._limit};w={WINDOW}',
            "RateLimit": f'"{self._name}";r={left}',
        }

    async def _calls(self, caller: str) -> float:
        try:
            return await self._cache.call(partial(self._rates.count, caller))
        except CircuitOpen:
            pass
        except StoreUnavailable as error:
            logger.warning("requests are counted in this process alone: %s", error)
            metrics.CACHE_ERRORS.inc()
        metrics.RATE_FALLBACKS.inc()
        return self._local.count(caller)
