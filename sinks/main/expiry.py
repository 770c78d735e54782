"""What is too old in the main database. Used by `main_store` and `main_maintenance`.

The age counts from the moment that a thing was stored, for a camera's clock may be wrong.
"""

from typing import TYPE_CHECKING

from domain.personal_data import Cutoffs, References, Traces

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

# An enrolled face whose user was deleted past `services.erasure` is kept no longer than a sighting.
IS_SIGHTING = "(kind <> 'enrolled' OR user_id IS NULL)"

OLD_SIGHTINGS = f"SELECT count(*) FROM faces WHERE created_at < $1 AND {IS_SIGHTING}"  # noqa: S608 - made of constants, as below

DELETE_OLD_SIGHTINGS = f"""
DELETE FROM faces WHERE id IN (
    SELECT id FROM faces WHERE created_at < $1 AND {IS_SIGHTING} ORDER BY created_at LIMIT $2
)
RETURNING id, crop_key
"""  # noqa: S608

# What was not announced is the reconciler's, which announces it first.
OLD_EVENTS = """
SELECT count(*) FROM events WHERE processed_at < $1 AND announced_at IS NOT NULL
"""

DELETE_OLD_EVENTS = """
DELETE FROM events WHERE (event_uuid, model) IN (
    SELECT event_uuid, model FROM events
    WHERE processed_at < $1 AND announced_at IS NOT NULL ORDER BY processed_at LIMIT $2
)
RETURNING 1
"""


async def expire(connection: "Session", before: Cutoffs) -> Traces:
    """Delete the oldest of what is too old, up to the limit of each kind.

    Returns:
        How many went, and what leads to the crops and embeddings of the sightings.
    """
    faces, lines = [], []
    if before.sightings is not None:
        faces = await connection.fetch(DELETE_OLD_SIGHTINGS, before.sightings, before.limit)
    if before.ledger is not None:
        lines = await connection.fetch(DELETE_OLD_EVENTS, before.ledger, before.limit)
    elsewhere = References(
        face_ids=frozenset(row["id"] for row in faces),
        crop_keys=frozenset(row["crop_key"] for row in faces if row["crop_key"]),
    )
    return Traces({"sightings": len(faces), "ledger lines": len(lines)}, elsewhere)


async def overdue(connection: "Session", before: Cutoffs) -> Traces:
    """How many of each kind are too old."""
    counts = {"sightings": 0, "ledger lines": 0}
    if before.sightings is not None:
        counts["sightings"] = await connection.fetchval(OLD_SIGHTINGS, before.sightings)
    if before.ledger is not None:
        counts["ledger lines"] = await connection.fetchval(OLD_EVENTS, before.ledger)
    return Traces(counts)
