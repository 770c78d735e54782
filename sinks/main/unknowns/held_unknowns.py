"""One unknown held, while the templates follow its state."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from sinks.main.unknowns import promotion_statements as sql
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.postgres.keepalive import Heartbeat

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session


class HeldUnknown:
    """An unknown whose state does not change while it is held.

    Attributes:
        state: ``open``, ``dismissed``, ``promoted`` or ``merged``.
    """

    def __init__(
        self, connection: "Session", heartbeat: Heartbeat, unknown_id: UUID, state: str
    ) -> None:
        self.state = state
        self._id = unknown_id
        self._connection = connection
        self._heartbeat = heartbeat

    async def withdrawn(self, visit_ids: Collection[UUID]) -> list[UUID]:
        """Those of these visits that are there, and are no unknown's any more."""
        async with self._heartbeat.free:
            rows = await self._connection.fetch(sql.WITHDRAWN_VISITS, list(visit_ids))
        return [row["visit_id"] for row in rows]

    async def applied(self) -> None:
        """Note that the vector database has the last change."""
        async with self._heartbeat.free:
            await self._connection.execute(sql.APPLIED, self._id)


class HeldUnknowns(UnknownStore):
    """`UnknownStore`, and what holds one unknown."""

    @asynccontextmanager
    async def held(self, unknown_id: UUID) -> AsyncIterator[HeldUnknown | None]:
        """Keep the state of an unknown until the block ends; None where it is gone."""
        operation = "hold an unknown"
        async with self._connection(operation) as connection, connection.transaction():
            state = await connection.fetchval(sql.STATE, unknown_id)
            heartbeat = Heartbeat(connection, self._settings.idle_transaction_timeout)
            async with heartbeat:
                yield (
                    None if state is None else HeldUnknown(connection, heartbeat, unknown_id, state)
                )
