"""The life of what reads and writes the cache, and its typed failures."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from config.settings import RedisSettings
from sinks.cache.redis_client import calling, create_client, probe
from sinks.sink import Connected
from sinks.store_errors import StoreUnavailable


class CacheSink(Connected):
    """A client of Redis. Use it as an async context manager, or `connect` and `close`."""

    def __init__(self, settings: RedisSettings) -> None:
        """Take the settings; nothing is connected yet."""
        self.store = f"Redis {settings.safe_url}"
        self._settings = settings
        self._client: Any = create_client(settings)
        self._connected = False

    async def connect(self) -> None:
        """Allow connections; they are made when needed, for a cache may come later."""
        self._connected = True

    async def close(self) -> None:
        """Close all connections, and make no others."""
        self._connected = False
        await self._client.aclose()

    async def ping(self) -> None:
        """One round trip to the server, which must take writes.

        Raises:
            StoreReadOnly: it is a replica.
            StoreUnavailable: it does not answer, or takes no writes now.
        """
        self._require_connected("ping")
        await probe(self._client, self.store)

    def _require_connected(self, operation: str) -> None:
        """The client itself would connect again after it was closed.

        Raises:
            StoreUnavailable: this sink is not connected.
        """
        if not self._connected:
            raise StoreUnavailable(self.store, operation, "not connected")

    def _calling(self, operation: str) -> AbstractAsyncContextManager[None]:
        self._require_connected(operation)
        return calling(self._client, self.store, operation)
