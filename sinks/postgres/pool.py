"""What both Postgres sinks share: the pool, and connections out of it.

Their statements fail with the errors of `store_errors`. A connection that has gone bad, or leads to
the wrong server, is dropped.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from config.settings import DatabaseSettings
from sinks.postgres.checked_connection import Session
from sinks.postgres.connect import Connector, keep_session
from sinks.postgres.driver_errors import DRIVER_ERRORS, Damage, typed_failures
from sinks.sink import Connected
from sinks.store_errors import StoreReadOnly, StoreRejected, StoreUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    RawConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Every statement of ours could write; a server on which none can is the wrong one.
IS_READ_ONLY = "SELECT current_setting('transaction_read_only')::boolean"

READ_ONLY_DETAIL = "the server is read-only"

#: A deadlock, or a row that was deleted between a look and a write, as by retention, which deletes
#: rows in an order of its own. A repetition finds the row gone.
_RACES = frozenset({"40P01", "23503"})
_ATTEMPTS = 4

#: Closing a pool may take so long, in seconds: calls under way have ended before.
_CLOSE_SECONDS = 2.0


class PostgresSink(Connected):
    """A pool of connections to one database.

    Use it as an async context manager, or call `connect` and `close`.
    """

    def __init__(self, settings: DatabaseSettings, store: str) -> None:
        """Take the settings; nothing is connected yet.

        Args:
            settings: where the database is.
            store: what error messages call it.
        """
        self.store = f"{store} database {settings.safe_url}"
        self._settings = settings
        self._connector = Connector(settings, self.store)
        self._pool: Pool | None = None

    async def connect(self) -> None:
        """Open the pool; does nothing when it is open.

        Raises:
            StoreUnavailable: the server is not there, read-only, or not set up.
        """
        if self._pool is not None:
            return
        settings = self._settings
        with typed_failures(self.store, "connect"):
            self._pool = await asyncpg.create_pool(
                min_size=min(settings.pool_min, settings.pool_max),
                max_size=settings.pool_max,
                connect=self._open,
                init=self._prepare,
                reset=keep_session,
            )

    async def close(self) -> None:
        """Close the pool; waits for calls under way, but not for long."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_SECONDS)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()  # the server went away first; there is nothing left to wait for

    async def ping(self) -> None:
        """One round trip to the server, which must take writes.

        Raises:
            StoreReadOnly: it takes none.
            StoreUnavailable: there was no answer.
        """
        async with self._connection("ping") as session:
            if await session.fetchval(IS_READ_ONLY):
                session.damage = Damage.POOL
                raise StoreReadOnly(self.store, "ping", READ_ONLY_DETAIL)

    async def _open(self, *_address: Any, **options: Any) -> "RawConnection":
        """One more connection; the pool also opens some by itself."""
        return await self._connector.open(**options)

    async def _prepare(self, connection: "RawConnection") -> None:
        """Set a new connection up; sinks that need something override this."""

    @asynccontextmanager
    async def _connection(self, operation: str) -> AsyncIterator[Session]:
        """A connection out of the pool, which takes it back unless it has gone bad."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailable(self.store, operation, "not connected")
        with typed_failures(self.store, operation):
            connection = await pool.acquire(timeout=self._connector.seconds)
        session = Session(connection, self.store, operation)
        try:
            yield session
        except asyncio.CancelledError:
            # A cancelled call must not wait for a server that may be down.
            session.damage = max(session.damage, Damage.CONNECTION)
            raise
        finally:
            await self._put_back(pool, connection, session.damage)

    async def _transaction(
        self, operation: str, work: Callable[[Session], Awaitable[Result]]
    ) -> Result:
        """Work in a transaction, again in a new one if another one has got in its way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._connection(operation) as session, session.transaction():
                    return await work(session)
            except (StoreUnavailable, StoreRejected) as failure:
                if failure.state not in _RACES or attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _put_back(
        self, pool: "Pool", connection: "PoolConnectionProxy[asyncpg.Record]", damage: Damage
    ) -> None:
        """Give a connection back, or drop it: what was asked of it is over either way."""
        if damage is Damage.POOL:
            await pool.expire_connections()
        try:
            if damage is not Damage.NONE:
                connection.terminate()
            await pool.release(connection)
        except DRIVER_ERRORS as error:
            # The pool has closed it, and makes another when it is needed.
            logger.debug("a connection to the %s was dropped: %r", self.store, error)
