"""A connection in use.

Its statements fail with typed errors, and code between them is not affected.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from sinks.postgres.driver_errors import DRIVER_ERRORS, Damage, damage_of, typed
from sinks.store_errors import StoreRejected

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.cursor import Cursor
    from asyncpg.pool import PoolConnectionProxy

    Row = asyncpg.Record
    Proxy = PoolConnectionProxy[asyncpg.Record]


class Session:
    """What sinks ask of a connection.

    Every statement raises the errors of `store_errors`. What its user does between two statements
    may fail as it likes: a `TimeoutError` there says nothing of this connection.

    Attributes:
        damage: what the failures so far say about the connection; the pool drops it accordingly.
    """

    def __init__(self, connection: "Proxy", store: str, operation: str) -> None:
        """Speak over ``connection``.

        Args:
            connection: out of a pool.
            store: what error messages call the database.
            operation: what it is used for.
        """
        self.damage = Damage.NONE
        self._connection = connection
        self._store = store
        self._operation = operation

    async def execute(self, statement: str, *values: object) -> str:
        """Run a statement; returns the command tag."""
        with self.statement():
            return await self._connection.execute(statement, *values)

    async def fetch(
        self,
        statement: str,
        *values: object,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own
    ) -> "list[Row]":
        """Run a statement; returns all rows."""
        with self.statement():
            rows: list[Row] = await self._connection.fetch(statement, *values, timeout=timeout)
        return rows

    async def fetchrow(self, statement: str, *values: object) -> "Row | None":
        """Run a statement; returns the first row, None where there is none."""
        with self.statement():
            row: Row | None = await self._connection.fetchrow(statement, *values)
        return row

    async def fetchval(
        self,
        statement: str,
        *values: object,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own
    ) -> Any:
        """Run a statement; returns the first column of the first row."""
        with self.statement():
            return await self._connection.fetchval(statement, *values, timeout=timeout)

    async def pages(
        self,
        statement: str,
        *values: object,
        size: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's own
    ) -> "AsyncIterator[Sequence[Row]]":
        """Run a statement in the transaction; yields its rows in pages, the last one shorter."""
        with self.statement():
            cursor: Cursor[Row] = await self._connection.cursor(statement, *values, timeout=timeout)
        while True:
            with self.statement():
                rows: list[Row] = await cursor.fetch(size, timeout=timeout)
            yield rows
            if len(rows) < size:
                return

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Literal["read_committed", "repeatable_read", "serializable"] | None = None,
        readonly: bool = False,
    ) -> AsyncIterator[None]:
        """A transaction, or a savepoint within one: commits at the end, rolls back on an error."""
        transaction = self._connection.transaction(isolation=isolation, readonly=readonly)
        with self.statement():
            await transaction.start()
        try:
            yield
        except asyncio.CancelledError:
            # A cancelled call must not wait for a server that may be down; closing the connection
            # rolls the transaction back.
            self.abandon()
            raise
        except BaseException:
            await self._roll_back(transaction)
            raise
        with self.statement():
            await transaction.commit()

    def abandon(self) -> None:
        """End the connection now; its next statement fails at once."""
        self.damage = max(self.damage, Damage.CONNECTION)
        with contextlib.suppress(*DRIVER_ERRORS):
            self._connection.terminate()

    async def _roll_back(self, transaction: "asyncpg.transaction.Transaction") -> None:
        """Undo; a connection that cannot, or is lost anyway, is dropped, which undoes it too."""
        if self.damage is not Damage.NONE:
            return
        self.damage = Damage.CONNECTION
        try:
            await transaction.rollback()
        except DRIVER_ERRORS as error:
            self.damage = max(self.damage, damage_of(error))
        else:
            self.damage = Damage.NONE

    @contextmanager
    def statement(self) -> Iterator[None]:
        """Type what the driver raises, and take note of what it says of the connection."""
        try:
            yield
        except DRIVER_ERRORS as error:
            self.damage = max(self.damage, damage_of(error))
            failure = typed(self._store, self._operation, error)
            if isinstance(failure, StoreRejected):
                raise failure from None
            raise failure from error
