"""Merging two unknowns, and parting one: each is one transaction, after which templates are due."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import msgspec

from domain.decisions.grouping import first_unknown_id
from domain.events import NAMESPACE
from domain.people.unknown_changes import unknown_merged
from domain.personal_data import Author
from sinks.main.people.people_messages import note_changes
from sinks.main.unknowns import unknown_statements
from sinks.main.unknowns.held_unknowns import HeldUnknowns

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session


@dataclass(frozen=True, slots=True)
class StoredProposal:
    """What the consolidation asks an operator.

    Attributes:
        kind: ``merge`` or ``split``.
        unknown_id: the unknown; of a merge, the older one.
        other_id: of a merge, the other one; of a split, the same.
        similarity: of the two templates, or of the two parts.
        created_at: since when it is asked.
    """

    kind: str
    unknown_id: UUID
    other_id: UUID
    similarity: float
    created_at: datetime


class UnknownRegrouping(HeldUnknowns):
    """`UnknownStore`, and what changes whose visits they are."""

    async def merge(self, one: UUID, other: UUID, by: Author | None = None) -> UUID | None:
        """Make two unknowns one: the older one is left.

        Args:
            one: an unknown.
            other: another one.
            by: the operator who joins them: they are not proposed to be split. None: the
                consolidation.

        Returns:
            The one that is left; None if they are apart, or one of them is not open any more.
        """

        async def write(connection: "Session") -> UUID | None:
            rows = await connection.fetch(unknown_statements.LOCK_BOTH, [one, other])
            if [row["state"] for row in rows] != ["open", "open"]:
                return None
            joined = by is not None
            if await connection.fetchval(unknown_statements.ARE_APART, one, other, joined):
                return None
            older, younger = sorted(rows, key=lambda row: (row["first_seen_at"], row["id"]))
            kept: UUID = older["id"]
            merged: UUID = younger["id"]
            await connection.execute(unknown_statements.MOVE_MEMBERS, kept, merged)
            await connection.execute(unknown_statements.MOVE_MERGED, kept, merged)
            await connection.execute(unknown_statements.MOVE_PAIRS, kept, merged)
            await connection.execute(unknown_statements.DELETE_PAIRS, merged)
            if by is not None:
                await connection.execute(unknown_statements.NOTE_JOINED, kept, merged)
                await _record(connection, by, "unknown.join", kept, {"other": str(merged)})
            await connection.execute(unknown_statements.DELETE_PROPOSALS, merged)
            await connection.execute(unknown_statements.KEEP_AS_LONG, kept, merged)
            await connection.execute(unknown_statements.MARK_MERGED, kept, merged)
            await self._count(connection, kept, max(row["visits"] for row in rows))
            await note_changes(connection, [unknown_merged(kept, merged)])
            return kept

        return await self._transaction("merge unknowns", write)

    async def part(self, unknown_id: UUID, visit_ids: Sequence[UUID], by: Author) -> UUID | None:
        """Take visits out of an unknown: they are another one's, who stays apart from it.

        Args:
            unknown_id: the unknown.
            visit_ids: some of its visits, not all of them.
            by: the operator.

        Returns:
            The other unknown; None if the unknown is not open, or these are not some of its visits.
        """

        async def write(connection: "Session") -> UUID | None:
            rows = await connection.fetch(unknown_statements.LOCK_BOTH, [unknown_id])
            if [row["state"] for row in rows] != ["open"]:
                return None
            found = await connection.fetch(
                unknown_statements.MEMBERS_TO_PART, unknown_id, list(visit_ids)
            )
            moved = [row["visit_id"] for row in found]
            if not moved or set(moved) != set(visit_ids) or len(moved) >= rows[0]["visits"]:
                return None
            names = [first_unknown_id(visit_id) for visit_id in moved]
            taken = {
                row["id"] for row in await connection.fetch(unknown_statements.EXISTING, names)
            }
            again = uuid5(NAMESPACE, f"unknown|{moved[0]}|{unknown_id}")
            other = next((name for name in names if name not in taken), again)
            await connection.execute(unknown_statements.BEGIN_PART, other, unknown_id)
            await connection.execute(unknown_statements.PART_MEMBERS, other, moved)
            await connection.execute(unknown_statements.COPY_PAIRS, other, unknown_id)
            await connection.execute(
                unknown_statements.ADD_PAIRS, other, [unknown_id], "apart", "operator"
            )
            await _part_frames(connection, other, unknown_id)
            await connection.execute(unknown_statements.DELETE_PROPOSALS, unknown_id)
            await self._count(connection, other, 0)
            await self._count(connection, unknown_id, rows[0]["visits"])
            detail = {"other": str(other), "visits": len(moved)}
            await _record(connection, by, "unknown.part", unknown_id, detail)
            return other

        return await self._transaction("part an unknown", write)

    async def heirs(self, unknown_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
        """Who has the exemplars of each of these unknowns that has a row.

        It is the unknown; of one that was merged the one that is left; None for a user.
        """
        async with self._connection("look for unknowns") as connection:
            rows = await connection.fetch(unknown_statements.HEIRS, list(unknown_ids))
        return {row["id"]: row["heir"] for row in rows}

    async def promoted(self, unknown_ids: Collection[UUID]) -> set[UUID]:
        """Those of these unknowns who are a user."""
        async with self._connection("look for promoted unknowns") as connection:
            rows = await connection.fetch(unknown_statements.PROMOTED, list(unknown_ids))
        return {row["id"] for row in rows}

    async def applied(self, unknown_id: UUID) -> None:
        """Note that the vector database has the last change of an unknown."""
        async with self._connection("note a repair") as connection:
            await connection.execute(unknown_statements.APPLIED, unknown_id)

    async def proposals(self, limit: int) -> list[StoredProposal]:
        """What an operator is asked, the most likely first."""
        async with self._connection("read proposals") as connection:
            rows = await connection.fetch(unknown_statements.PROPOSALS, limit)
        return [StoredProposal(**dict(row)) for row in rows]


async def _part_frames(connection: "Session", other: UUID, unknown_id: UUID) -> None:
    """Have each half be apart from those who were in a frame with its own visits."""
    pairs = await connection.fetch(unknown_statements.PAIRS_OF_FRAMES, other, unknown_id)
    await connection.execute(unknown_statements.DELETE_PAIRS_OF_FRAMES, unknown_id)
    halves, thirds = [row["half"] for row in pairs], [row["third"] for row in pairs]
    await connection.execute(unknown_statements.WRITE_PAIRS_OF_FRAMES, halves, thirds)


async def _record(
    connection: "Session", by: Author, action: str, unknown_id: UUID, detail: dict[str, object]
) -> None:
    """Add an entry to the audit trail."""
    await connection.execute(
        unknown_statements.AUDIT,
        by.actor,
        action,
        f"unknown:{unknown_id}",
        msgspec.json.encode(detail).decode(),
        by.request_id,
    )
