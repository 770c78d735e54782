"""Unknowns for maintenance: merges, proposals, and what the vector database does not have yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.decisions.consolidation import Proposal
from sinks.main.unknowns import unknown_statements
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping


@dataclass(frozen=True, slots=True)
class DueUnknown:
    """An unknown whose last change the vector database may not have.

    Attributes:
        id: of the unknown.
        together: the unknown, and others that may have its exemplars.
    """

    id: UUID
    together: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class OpenUnknown:
    """An unknown that may be merged.

    Attributes:
        id: of the unknown.
        first_seen_at: start of its first visit.
        joined: whether an operator has joined it with another one.
    """

    id: UUID
    first_seen_at: datetime
    joined: bool


class UnknownMaintenance(UnknownRegrouping):
    """`UnknownRegrouping`, and what consolidation and repairs need in addition."""

    async def due(self, limit: int) -> list[DueUnknown]:
        """Unknowns whose last change the vector database may not have."""
        async with self._connection("look for unknowns to repair") as connection:
            rows = await connection.fetch(unknown_statements.DUE, limit)
        return [DueUnknown(row["id"], frozenset((row["id"], *row["others"]))) for row in rows]

    async def latest_visits(self, unknown_id: UUID, most: int) -> tuple[str, list[UUID]]:
        """The model of an unknown, and its latest visits that are no user's, at most so many."""
        async with self._connection("read the visits of an unknown") as connection:
            rows = await connection.fetch(unknown_statements.LATEST_VISITS, unknown_id, most)
        return (rows[0]["model"] if rows else ""), [row["visit_id"] for row in rows]

    async def changed(self, model: str, after: UUID, limit: int) -> dict[UUID, datetime]:
        """The next open unknowns of a model, by id, whose visits the consolidation has not seen.

        Returns:
            By unknown, when its visits changed; see `consolidated`.
        """
        async with self._connection("look for unknowns that changed") as connection:
            rows = await connection.fetch(unknown_statements.CHANGED, model, after, limit)
        return {row["id"]: row["consolidation_due_at"] for row in rows}

    async def proposed_with(self, unknown_ids: Collection[UUID]) -> list[tuple[UUID, UUID]]:
        """The merges with one of these unknowns that an operator is asked about."""
        async with self._connection("read proposals") as connection:
            rows = await connection.fetch(unknown_statements.PROPOSED_WITH, list(unknown_ids))
        return [(row["unknown_id"], row["other_id"]) for row in rows]

    async def open_ones(self, unknown_ids: Collection[UUID]) -> list[OpenUnknown]:
        """Those of these unknowns that may be merged, by id."""
        async with self._connection("read unknowns") as connection:
            rows = await connection.fetch(unknown_statements.OPEN_ONES, list(unknown_ids))
        return [OpenUnknown(**dict(row)) for row in rows]

    async def apart(self, unknown_ids: Collection[UUID]) -> set[frozenset[UUID]]:
        """The pairs with one of these unknowns who are two people."""
        async with self._connection("read who is apart") as connection:
            rows = await connection.fetch(unknown_statements.APART, list(unknown_ids))
        return {frozenset((row["one"], row["other"])) for row in rows}

    async def consolidated(
        self, looked_at: Mapping[UUID, datetime], proposals: Sequence[Proposal]
    ) -> None:
        """Replace the proposals about these unknowns, who are consolidated.

        Args:
            looked_at: unknowns that were compared with all, with the time of `changed`.
            proposals: what was found.
        """
        async with (
            self._connection("propose merges and splits") as connection,
            connection.transaction(),
        ):
            names, times = list(looked_at), list(looked_at.values())
            await connection.execute(unknown_statements.FORGET_PROPOSALS, names)
            await connection.execute(
                unknown_statements.PROPOSE,
                [one.unknown_id for one in proposals],
                [one.other_id for one in proposals],
                [one.kind for one in proposals],
                [one.similarity for one in proposals],
            )
            await connection.execute(unknown_statements.CONSOLIDATED, names, times)
