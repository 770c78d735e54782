"""What both Postgres sinks share: the pool, and the driver's exceptions as typed failures."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from config.settings import DatabaseSettings
from config.sockets import notice_dead_peer
from sinks.errors import StoreRejected, StoreUnavailable
from sinks.lifecycle import Connected

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    RawConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]

#: Classes of SQLSTATE that say "this data": data exception, integrity constraint, program limit.
#: All others (connection, resources, deadlock, read-only, shutdown, but also authentication and a
#: missing table) are the server's or the deployment's, and pass.
_FAULT_OF_THE_DATA = frozenset({"22", "23", "54"})


#: Closing a pool may take so long, in seconds: calls under way have ended before.
_CLOSE_SECONDS = 2.0

#: How often the server looks, during a statement, whether its client is still there.
_LOOK_FOR_CLIENT_SECONDS = 10.0


@contextmanager
def typed_failures(store: str, operation: str) -> Iterator[None]:
    """Turn what asyncpg raises into `StoreUnavailable` and `StoreRejected`.

    Rows never get into the message: Postgres puts them into the error's detail, which is left out.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        # The driver's own errors have no message, and their text holds the value.
        said = getattr(error, "message", None) or "a value does not fit its column"
        reason = f"{said} (SQLSTATE {state})"
        if state[:2] in _FAULT_OF_THE_DATA:
            # Without its cause: the texts of both driver and server may hold the value.
            raise StoreRejected(store, operation, reason) from None
        raise StoreUnavailable(store, operation, reason) from error
    except (UnicodeError, OverflowError) as error:
        reason = f"a value does not fit its column ({type(error).__name__})"
        raise StoreRejected(store, operation, reason) from None
    except TimeoutError as error:
        raise StoreUnavailable(store, operation, "no answer in time") from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StoreUnavailable(store, operation, str(error) or type(error).__name__) from error


def _milliseconds(seconds: float) -> str:
    """As Postgres takes a duration without a unit."""
    return str(max(1, round(seconds * 1000)))


class PostgresSink(Connected):
    """A pool of connections to one database, with a life of its own.

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
        self._pool: Pool | None = None

    async def connect(self) -> None:
        """Open the pool; does nothing when it is open.

        Raises:
            StoreUnavailable: the server is not there, or not set up.
        """
        if self._pool is not None:
            return
        settings = self._settings
        with typed_failures(self.store, "connect"):
            self._pool = await asyncpg.create_pool(
                settings.dsn,
                ssl=settings.tls.argument(),
                min_size=min(settings.pool_min, settings.pool_max),
                max_size=settings.pool_max,
                timeout=settings.connect_timeout,
                command_timeout=settings.command_timeout,
                connect=self._open,
                init=self._prepare,
                server_settings={
                    "application_name": "fecapass",
                    "timezone": "UTC",
                    # A host that vanishes closes nothing: without this, the server would keep what
                    # its worker had claimed until TCP gives up, in hours.
                    "idle_in_transaction_session_timeout": _milliseconds(
                        settings.idle_transaction_timeout
                    ),
                    "client_connection_check_interval": _milliseconds(_LOOK_FOR_CLIENT_SECONDS),
                },
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
        """One round trip to the server.

        Raises:
            StoreUnavailable: there was no answer.
        """
        async with self._connection("ping") as connection:
            await connection.execute("SELECT 1")

    async def _open(self, *arguments: Any, **options: Any) -> "RawConnection":
        """One connection more; the pool, which also asks for some by itself, is told of whose."""
        with typed_failures(self.store, "connect"):
            connection: RawConnection = await asyncpg.connect(*arguments, **options)
        notice_dead_peer(connection._transport.get_extra_info("socket"))  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg offers no other way
        return connection

    async def _prepare(self, connection: "RawConnection") -> None:
        """Set a new connection up; sinks that need something override this."""

    @asynccontextmanager
    async def _connection(self, operation: str) -> "AsyncIterator[Connection]":
        """A connection out of the pool, whose failures are typed."""
        if self._pool is None:
            raise StoreUnavailable(self.store, operation, "not connected")
        with typed_failures(self.store, operation):
            async with self._pool.acquire(timeout=self._settings.connect_timeout) as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    # Whoever ends a call does not wait for a server that may be gone.
                    connection.terminate()
                    raise
                except (TimeoutError, OSError):
                    # A line that has gone dead takes all its connections with it. They would be
                    # found out one by one, each by a statement that waits out its time.
                    connection.terminate()
                    await self._pool.expire_connections()
                    raise
