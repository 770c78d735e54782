"""Keys that were good a moment ago, so that a burst of requests does not queue for the database."""

import asyncio
import hashlib
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from services.api_keys import Caller, find_caller

#: How long a key is believed, in seconds; a revoked one is refused this much later at the latest.
BELIEVED_SECONDS = 2.0

_REMEMBERED_KEYS = 1000


class Keyring:
    """Finds out whose key it is; asks the database once for many requests."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        """Look keys up in the main database."""
        self._sessions = sessions
        self._good: dict[bytes, tuple[float, Caller]] = {}
        self._asking: dict[bytes, asyncio.Lock] = {}

    async def find(self, key: str) -> Caller | None:
        """The owner of this key; None when the key is unknown or revoked."""
        # Cached by their hash: the time of the lookup reveals nothing about the key.
        digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
        if (caller := self._believed(digest)) is not None:
            return caller
        lock = self._asking.setdefault(digest, asyncio.Lock())
        try:
            async with lock:
                if (caller := self._believed(digest)) is not None:
                    return caller
                return await self._ask(digest, key)
        finally:
            self._asking.pop(digest, None)

    def _believed(self, digest: bytes) -> Caller | None:
        at, caller = self._good.get(digest, (0.0, None))
        return caller if caller is not None and monotonic() - at < BELIEVED_SECONDS else None

    async def _ask(self, digest: bytes, key: str) -> Caller | None:
        began = monotonic()
        # A separate session, back in the pool before the request waits for anything.
        async with self._sessions() as session:
            caller = await find_caller(session, key)
        if len(self._good) > _REMEMBERED_KEYS:
            self._good.clear()
        if caller is None:
            self._good.pop(digest, None)
        else:
            self._good[digest] = began, caller
        return caller
