"""Unknowns and their visits in the main database, as the unknowns agent reads and writes them.

The row of a visit in ``unknown_members`` is the commit point: the first one counts. The template
was written before it, so a worker that ends in between finds the visit in its template and gives it
to the same unknown.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from config.settings import DatabaseSettings
from domain.decisions.grouping import Assignment
from domain.people.unknown_changes import unknown_created
from sinks.main.people.people_messages import note_changes
from sinks.main.unknowns import unknown_statements
from sinks.main.visit_store import ONLY_INDEXES
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session
    from sinks.postgres.pool import RawConnection

#: An unknown is shown, and announced, when it has so many visits.
SHOWN_FROM = 2


@dataclass(frozen=True, slots=True)
class FaceOfVisit:
    """A face of a visit whose embedding says who it is.

    Attributes:
        face_id: the face.
        quality: fitness for recognition, 0 to 1.
        model: id of the embedder.
    """

    face_id: UUID
    quality: float
    model: str


class UnknownStore(PostgresSink):
    """Reads and writes unknowns. All methods raise the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; `connect` opens it."""
        super().__init__(settings, "main")

    async def _prepare(self, connection: "RawConnection") -> None:
        await connection.execute(ONLY_INDEXES)

    async def members(self, visit_ids: Collection[UUID]) -> dict[UUID, UUID]:
        """The unknown of each of these visits that has one."""
        if not visit_ids:
            return {}
        async with self._connection("look for visits of unknowns") as connection:
            rows = await connection.fetch(unknown_statements.MEMBERS, list(visit_ids))
        return {row["visit_id"]: row["unknown_id"] for row in rows}

    async def evidence(self, visit_id: UUID, min_quality: float, most: int) -> list[FaceOfVisit]:
        """The faces of a visit that say who it is, best first.

        Args:
            visit_id: the visit.
            min_quality: only of this quality, 0 to 1, or more.
            most: at most so many.
        """
        async with self._connection("read the faces of a visit") as connection:
            rows = await connection.fetch(unknown_statements.EVIDENCE, visit_id, min_quality, most)
        return [FaceOfVisit(**dict(row)) for row in rows]

    async def in_the_same_frames(self, visit_id: UUID) -> frozenset[UUID]:
        """Unknowns who were in a frame with the person of a visit: none of them is that person."""
        async with self._connection("look for others in the frames") as connection:
            rows = await connection.fetch(unknown_statements.IN_THE_SAME_FRAMES, visit_id)
        return frozenset(row["unknown_id"] for row in rows)

    async def add(
        self, visit_id: UUID, model: str, given: Assignment, apart: Collection[UUID]
    ) -> UUID | None:
        """Give a visit to its unknown, who is made if there is no such row.

        An unknown that was merged in the meantime stands for the one that is left. One that was
        promoted gets no visit: it is a user, whom the next visits are recognised as.

        Args:
            visit_id: the visit.
            model: id of the embedder.
            given: the decision.
            apart: unknowns who were in a frame with the person: they are never merged with it.

        Returns:
            The unknown whose visit it is, also if it was so before; None where it is no unknown's:
            the visit has no row any more, or is a user's, or its unknown is.
        """

        async def write(connection: "Session") -> UUID | None:
            asked = [given.unknown_id, *apart]
            current = await connection.fetch(unknown_statements.CURRENT, asked)
            target = await self._target(connection, given.unknown_id)
            if target is None:
                await connection.execute(
                    unknown_statements.BEGIN_UNKNOWN, given.unknown_id, model, visit_id
                )
                target = await self._target(connection, given.unknown_id)
            added = None
            if target is not None and target["state"] != "promoted":
                added = await connection.fetchval(
                    unknown_statements.ADD_MEMBER,
                    visit_id,
                    target["id"],
                    given.unknown_id,
                    given.similarity,
                )
            if target is None or added is None:
                await connection.execute(unknown_statements.DELETE_EMPTY, [given.unknown_id])
                rows = await connection.fetch(unknown_statements.MEMBERS, [visit_id])
                return rows[0]["unknown_id"] if rows else None
            owner: UUID = target["id"]
            others = {row["id"] for row in current} - {owner}
            if others:
                await connection.execute(
                    unknown_statements.ADD_PAIRS, owner, list(others), "apart", "frame"
                )
            await self._count(connection, owner, target["visits"], seen=True)
            return owner

        return await self._transaction("give a visit to an unknown", write)

    async def became(self, visit_id: UUID, user_id: UUID) -> bool:
        """Whether the unknown of a visit was given the name of this user."""
        async with self._connection("look for a promotion") as connection:
            return bool(await connection.fetchval(unknown_statements.BECAME, visit_id, user_id))

    async def withdraw(self, visit_ids: Sequence[UUID]) -> list[UUID]:
        """Take visits from their unknowns: they are a user's now, or were merged into others.

        Returns:
            The unknowns that have no visit left, and are deleted.
        """

        async def write(connection: "Session") -> list[UUID]:
            rows = await connection.fetch(unknown_statements.REMOVE_MEMBERS, list(visit_ids))
            touched = sorted({row["unknown_id"] for row in rows})
            if not touched:
                return []
            await connection.fetch(unknown_statements.COUNT_AGAIN, touched, False)
            # The template may have been made of this visit alone.
            await connection.execute(unknown_statements.NOTE_DUE, touched)
            gone = await connection.fetch(unknown_statements.DELETE_EMPTY, touched)
            return [row["id"] for row in gone]

        return await self._transaction("take visits from unknowns", write)

    @staticmethod
    async def _target(connection: "Session", unknown_id: UUID) -> "asyncpg.Record | None":
        """The row that stands for an unknown; None where there is none."""
        return await connection.fetchrow(unknown_statements.CURRENT, [unknown_id])

    @staticmethod
    async def _count(
        connection: "Session", unknown_id: UUID, before: int, *, seen: bool = False
    ) -> None:
        """Count the visits again, and announce the unknown when it is shown.

        Args:
            connection: in a transaction.
            unknown_id: the unknown.
            before: how many there were.
            seen: whether there is a new visit.
        """
        rows = await connection.fetch(unknown_statements.COUNT_AGAIN, [unknown_id], seen)
        if rows and before < SHOWN_FROM <= rows[0]["visits"]:
            await note_changes(connection, [unknown_created(unknown_id)])
