"""Unknowns in the main database: those who became a user, and those who are too old."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

# With those that were merged into them.
OF_USER = """
SELECT id FROM unknowns WHERE user_id = $1
UNION
SELECT id FROM unknowns WHERE merged_into IN (SELECT id FROM unknowns WHERE user_id = $1)
"""

DELETE_OF_USER = f"DELETE FROM unknowns WHERE id IN ({OF_USER}) RETURNING id"  # noqa: S608 - made of constants

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
    "unknown_members.visit_id": "deleted with the unknown; the visit is another unknown's",
    "unknown_members.unknown_id": "deleted with the unknown",
    "unknown_pairs.one": "deleted with the unknown",
    "unknown_pairs.other": "deleted with the unknown",
    "unknown_proposals.unknown_id": "deleted with the unknown",
    "unknown_proposals.other_id": "deleted with the unknown",
}


async def of_user(connection: "Session", user_id: UUID) -> frozenset[UUID]:
    """The unknowns who became a user."""
    return frozenset(row["id"] for row in await connection.fetch(OF_USER, user_id))


async def forget_unknowns(connection: "Session", user_id: UUID) -> frozenset[UUID]:
    """Delete the unknowns who became a user; which these were."""
    return frozenset(row["id"] for row in await connection.fetch(DELETE_OF_USER, user_id))


async def expire_unknowns(connection: "Session", before: datetime, limit: int) -> frozenset[UUID]:
    """Delete the unknowns who were not seen since a moment, up to a limit; which these were."""
    rows = await connection.fetch(DELETE_TOO_OLD, before, limit)
    return frozenset(row["id"] for row in rows)
