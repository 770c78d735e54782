"""How often a caller came in the last minute, counted in Redis for all API processes together."""

from time import time
from typing import Any, Self

from config.settings import RedisSettings
from sinks.cache.redis_client import PREFIX, calling, create_client

#: Length of the window in seconds.
WINDOW = 60


class Rates:
    """Counts calls in a sliding window. Use it as an async context manager, or call `close`.

    The window is combined from two fixed ones: the count of the last minute, weighted by the part
    of it that is within the last 60 seconds, and the count of the current minute. For bursts the
    error is a few per cent. It needs two small keys per caller.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Take the settings; nothing is connected yet."""
        self._store = f"Redis {settings.safe_url}"
        self._client: Any = create_client(settings)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def count(self, caller: str) -> float:
        """Note one call; returns how many there were in the last minute, this one included.

        Raises:
            StoreUnavailable: Redis is unavailable.
        """
        window, elapsed = divmod(time(), WINDOW)
        now, before = (f"{PREFIX}rate:{caller}:{int(window) - ago}" for ago in (0, 1))
        async with (
            calling(self._client, self._store, "count a call"),
            self._client.pipeline(transaction=False) as pipeline,
        ):
            pipeline.incr(now)
            pipeline.expire(now, 2 * WINDOW)
            pipeline.get(before)
            counted, _, last = await pipeline.execute()
        return int(counted) + int(last or 0) * (1.0 - elapsed / WINDOW)
