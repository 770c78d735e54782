"""The life that all sinks share: connect, be used, close."""

from abc import ABC, abstractmethod
from typing import Self


class Connected(ABC):
    """Something with connections; an async context manager by its `connect` and `close`."""

    @abstractmethod
    async def connect(self) -> None:
        """Get ready."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
