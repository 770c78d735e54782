"""Unknowns in the main database: those who became a user, and those who are too old."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sinks.main.unknowns import unknown_statements

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

# With those that were merged into them.
OF_USER = """
SELECT id FROM unknowns WHERE user_id = $1
UNION
SELECT id FROM unknowns WHERE merged_into IN (SELECT id FROM unknowns WHERE user_id = $1)
"""

# Those, too, that were the user's when the erasure began: their embeddings are deleted already.
DELETE_OF_USER = f"""
DELETE FROM unknowns WHERE id IN ({OF_USER}) OR id = ANY($2::uuid[]) RETURNING id
"""  # noqa: S608 - made of constants

# A person may have said whose they are while they were an unknown's, or no worker has read it yet.
VISITS_OF_USER = "SELECT visit_id FROM visits WHERE user_id = $1"

COUNT_MEMBERS = "SELECT count(*) FROM unknown_members WHERE visit_id = ANY($1::uuid[])"

# In the order in which workers lock them.
LOCK_THOSE_WITH = """
SELECT id FROM unknowns WHERE id IN (
    SELECT unknown_id FROM unknown_members WHERE visit_id = ANY($1::uuid[]))
ORDER BY id FOR NO KEY UPDATE
"""

TOO_OLD = "SELECT count(*) FROM unknowns WHERE changed_at < $1"

DELETE_TOO_OLD = """
DELETE FROM unknowns WHERE id IN (
    SELECT id FROM unknowns WHERE changed_at < $1 ORDER BY changed_at LIMIT $2
)
RETURNING id
"""

#: Where these tables name users or faces, and what an erasure does about it.
ERASED_PLACES = {
    "unknowns.user_id": "deleted, with what was merged into it",
    "unknowns.merged_into": "deleted with the unknown that became the user",
    "unknown_members.visit_id": "deleted with the unknown, and where the visit is the user's",
    "unknown_members.unknown_id": "deleted with the unknown",
    "unknown_pairs.one": "deleted with the unknown",
    "unknown_pairs.other": "deleted with the unknown",
    "unknown_proposals.unknown_id": "deleted with the unknown",
    "unknown_proposals.other_id": "deleted with the unknown",
}


async def of_user(connection: "Session", user_id: UUID) -> frozenset[UUID]:
    """The unknowns who became a user."""
    return frozenset(row["id"] for row in await connection.fetch(OF_USER, user_id))


async def forget_unknowns(
    connection: "Session", user_id: UUID, known: Collection[UUID]
) -> frozenset[UUID]:
    """Delete the unknowns who became a user; which these were.

    Args:
        connection: in a transaction.
        user_id: the user.
        known: those of the user when the erasure began; an undo may have changed it since.
    """
    rows = await connection.fetch(DELETE_OF_USER, user_id, list(known))
    return frozenset(row["id"] for row in rows)


async def visits_of_user(connection: "Session", user_id: UUID) -> tuple[frozenset[UUID], int]:
    """The visits of a user, and how many of them are still an unknown's."""
    rows = await connection.fetch(VISITS_OF_USER, user_id)
    visits = frozenset(row["visit_id"] for row in rows)
    return visits, await connection.fetchval(COUNT_MEMBERS, list(visits))


async def withdraw_visits(
    connection: "Session", visit_ids: Sequence[UUID], *, due: bool
) -> tuple[int, frozenset[UUID]]:
    """Take visits from their unknowns, before the visits are locked.

    Args:
        connection: in a transaction.
        visit_ids: the visits.
        due: whether maintenance is to look at the templates that lose them.

    Returns:
        How many were an unknown's; and the unknowns without any other visit, who are deleted.
    """
    touched = [row["id"] for row in await connection.fetch(LOCK_THOSE_WITH, visit_ids)]
    gone = await connection.fetch(unknown_statements.REMOVE_MEMBERS, visit_ids)
    await connection.fetch(unknown_statements.COUNT_AGAIN, touched, False)
    if due:
        await connection.execute(unknown_statements.NOTE_DUE, touched)
    empty = await connection.fetch(unknown_statements.DELETE_EMPTY, touched)
    return len(gone), frozenset(row["id"] for row in empty)


async def expire_unknowns(connection: "Session", before: datetime, limit: int) -> frozenset[UUID]:
    """Delete the unknowns who were not seen since a moment, up to a limit; which these were."""
    rows = await connection.fetch(DELETE_TOO_OLD, before, limit)
    return frozenset(row["id"] for row in rows)
