"""Making one connection to a database: to the host that accepts writes, with its own session."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from config.network.sockets import notice_dead_peer
from config.settings import DatabaseSettings
from sinks.postgres.driver_errors import SESSIONS_NOT_KEPT, typed_failures
from sinks.store_errors import SessionsNotKept, StoreReadOnly, StoreUnavailable

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]

#: How often the server looks, during a statement, whether its client is still there.
_LOOK_FOR_CLIENT_SECONDS = 10.0

# A host that disappears closes nothing: without the first, the server would keep the claims of its
# worker until TCP times out, in hours. Set here and not at the start of the session, where
# PgBouncer refuses what it does not know. The process id is not the one that the server sent at
# the start where a pooler is in between.
SET_UP = """
SELECT pg_backend_pid() AS process,
       set_config('idle_in_transaction_session_timeout', $1, false),
       set_config('client_connection_check_interval', $2, false)
"""

#: A notification on it shows whether a connection has a session of its own.
_CHANNEL = "fecapass_own_session"
_NOTIFIED_SECONDS = 1.0


class Connector:
    """Opens connections to one database. Belongs to one event loop.

    Of several hosts it takes the first that answers and takes writes, beginning with the one that
    did so last.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        store: str,
        application: str = "fecapass",
        *,
        patient: bool = False,
    ) -> None:
        """Take the settings; nothing is connected yet.

        Args:
            settings: where the database is.
            store: what error messages call it.
            application: what the server's listing of sessions calls us.
            patient: a statement may take any time, as a migration does.
        """
        self._settings = settings
        self._store = store
        self._application = application
        self._command_timeout = None if patient else settings.command_timeout
        self._first = 0
        self._keeps_sessions = False

    @property
    def seconds(self) -> float:
        """How long opening a connection may take: each host has its time."""
        return self._settings.connect_timeout * len(self._settings.hosts)

    async def open(self, **options: Any) -> "RawConnection":
        """Open a connection.

        Args:
            options: of `asyncpg.connect`, in addition to those from the settings.

        Raises:
            StoreReadOnly: every host that answers is read-only.
            SessionsNotKept: there is a pooler in between that pools transactions or statements.
            StoreUnavailable: no host answers, or the login is refused.
        """
        hosts = self._settings.hosts
        failures: list[tuple[str, StoreUnavailable]] = []
        for step in range(len(hosts)):
            index = (self._first + step) % len(hosts)
            host, port = hosts[index]
            try:
                connection = await self._open_one(host, port, options)
            except StoreUnavailable as failure:
                failures.append((f"{host}:{port}", failure))
            else:
                self._first = index
                return connection
        raise self._summed_up(failures)

    def _summed_up(self, failures: list[tuple[str, StoreUnavailable]]) -> StoreUnavailable:
        """The failure of the only host; of several, all that they said in one."""
        if len(failures) == 1:
            return failures[0][1]
        detail = "; ".join(f"{host}: {failure.detail}" for host, failure in failures)
        states = {failure.state for _, failure in failures} - {""}
        kinds = {type(failure) for _, failure in failures}
        kind = next(
            (one for one in (SessionsNotKept, StoreReadOnly) if one in kinds), StoreUnavailable
        )
        state = states.pop() if len(states) == 1 else ""
        return kind(self._store, "connect", detail, state=state)

    async def _open_one(self, host: str, port: int, options: dict[str, Any]) -> "RawConnection":
        with typed_failures(self._store, "connect"):
            connection = await self._connect(host, port, options)
            try:
                await self._set_up(connection, host, port)
            except BaseException:
                connection.terminate()
                raise
        return connection

    async def _connect(self, host: str, port: int, options: dict[str, Any]) -> "RawConnection":
        settings = self._settings
        connection: RawConnection = await asyncpg.connect(
            host=host,
            port=port,
            user=settings.user,
            password=settings.password.get_secret_value(),
            database=settings.name,
            ssl=settings.tls.argument(),
            timeout=settings.connect_timeout,
            command_timeout=self._command_timeout,
            # While a fail-over is under way the name may still lead to a server that only reads.
            target_session_attrs=SessionAttribute.read_write,
            server_settings={"application_name": self._application, "timezone": "UTC"},
            **options,
        )
        notice_dead_peer(connection._transport.get_extra_info("socket"))  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg offers no other way
        return connection

    async def _set_up(self, connection: "RawConnection", host: str, port: int) -> None:
        settings = self._settings
        record = await connection.fetchrow(
            SET_UP,
            _milliseconds(settings.idle_transaction_timeout),
            _milliseconds(_LOOK_FOR_CLIENT_SECONDS),
            timeout=settings.connect_timeout,
        )
        assert record is not None, "a select without a table gives one row"  # noqa: S101
        process = record["process"]
        if process == connection.get_server_pid() or self._keeps_sessions:
            return
        if not await self._is_own_session(connection, host, port):
            raise SessionsNotKept(self._store, "connect", SESSIONS_NOT_KEPT)
        self._keeps_sessions = True

    async def _is_own_session(self, connection: "RawConnection", host: str, port: int) -> bool:
        """Whether a pooler keeps one session for this connection, for as long as it is open.

        A second connection sends a notification that this one listens for. It reaches a client that
        asks nothing only where a session belongs to it between its transactions, too.

        Raises:
            StoreUnavailable: the pooler has no second session to give.
        """
        timeout = self._settings.connect_timeout
        notified, name = asyncio.Event(), uuid4().hex

        def listener(_connection: object, _process: int, _channel: str, payload: object) -> None:
            if payload == name:
                notified.set()

        async with asyncio.timeout(timeout):
            await connection.add_listener(_CHANNEL, listener)
        other = await self._connect(host, port, {})
        try:
            await other.execute(f"NOTIFY {_CHANNEL}, '{name}'", timeout=timeout)
        except TimeoutError as error:
            detail = "the pooler has no second session to give; it needs one a connection"
            raise StoreUnavailable(self._store, "connect", detail) from error
        finally:
            other.terminate()
        try:
            # A part of the time that all of it may take: the reason has to reach the caller.
            async with asyncio.timeout(min(_NOTIFIED_SECONDS, timeout / 4)):
                await notified.wait()
        except TimeoutError:
            # A session of ours would deliver what is left before its answer. And after an outage
            # there is no answer, which says nothing of sessions.
            await connection.fetchval("SELECT 1", timeout=timeout)
        if notified.is_set():
            async with asyncio.timeout(timeout):
                await connection.remove_listener(_CHANNEL, listener)
        return notified.is_set()


async def keep_session(_connection: object) -> None:
    """What is done with a session that goes back to its pool: nothing.

    All that the sinks set or lock ends with their transactions; and the usual `RESET ALL` would
    take back what was set up.
    """
    await asyncio.sleep(0)


def _milliseconds(seconds: float) -> str:
    """As Postgres takes a duration without a unit."""
    return str(max(1, round(seconds * 1000)))
