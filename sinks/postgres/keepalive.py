"""Keeps a transaction open that waits for work in another store.

PostgreSQL ends an idle transaction, so that the locks of a worker that disappeared are released. A
running worker that waits for S3 with its claim open sends statements to prevent that.
"""

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sinks.store_errors import StoreRejected, StoreUnavailable

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

logger = logging.getLogger(__name__)

#: So many signs of life in the time after which the server ends a transaction.
_BEATS = 4


class Heartbeat:
    """Signs of life on a connection, for as long as it is used as a context manager.

    Attributes:
        free: to be held for every statement, since a connection takes one at a time.
    """

    def __init__(self, connection: "Session", idle_timeout: float) -> None:
        """Take an open transaction's connection.

        Args:
            connection: of the transaction.
            idle_timeout: seconds after which the server ends an idle transaction.
        """
        self.free = asyncio.Lock()
        self._connection = connection
        self._pause = idle_timeout / _BEATS
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if kind is None:
            async with self.free:  # a statement that is cut off would spoil the transaction
                task.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            async with self.free:
                try:
                    await self._connection.execute("SELECT 1")
                except (StoreUnavailable, StoreRejected) as error:
                    # The transaction is lost; its next statement raises the error for the caller.
                    logger.debug("a transaction has lost its connection: %r", error)
                    self._connection.abandon()
                    return
