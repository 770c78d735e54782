"""What is too old in the main database. Used by `main_store` and `main_maintenance`.

The age counts from the moment that a thing was stored, for a camera's clock may be wrong.
"""

from typing import TYPE_CHECKING

from domain.personal_data import Cutoffs, References, Traces
from sinks.main.snapshots.snapshot_statements import TOO_OLD, expire_snapshots
from sinks.main.unknowns import unknown_erasure

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from sinks.postgres.checked_connection import Session

# An enrolled face whose user was deleted past `services.erasure` is kept no longer than a sighting.
IS_SIGHTING = "(kind NOT IN ('enrolled', 'removed') OR user_id IS NULL)"

OLD_SIGHTINGS = f"SELECT count(*) FROM faces WHERE created_at < $1 AND {IS_SIGHTING}"  # noqa: S608 - made of constants, as below

# Locked in the order in which visits are committed, so that the two cannot deadlock over faces.
DELETE_OLD_SIGHTINGS = f"""
WITH old AS MATERIALIZED (
    SELECT id FROM faces WHERE id IN (
        SELECT id FROM faces WHERE created_at < $1 AND {IS_SIGHTING} ORDER BY created_at LIMIT $2
    )
    ORDER BY id FOR UPDATE
)
DELETE FROM faces WHERE id IN (SELECT id FROM old) RETURNING id, crop_key
"""  # noqa: S608

# When nothing can bring it back any more (`domain.decisions.corrections.UNDO_WITHIN`).
_IS_LEFT_OUT = """
kind = 'removed' AND NOT EXISTS (
    SELECT FROM corrections
    WHERE id = faces.correction_id AND made_at >= now() - interval '30 days')
"""

LEFT_OUT = f"SELECT count(*) FROM faces WHERE {_IS_LEFT_OUT}"  # noqa: S608

DELETE_LEFT_OUT = f"""
DELETE FROM faces WHERE id IN (
    SELECT id FROM faces WHERE {_IS_LEFT_OUT} ORDER BY id LIMIT $1 FOR UPDATE
)
RETURNING id, crop_key
"""  # noqa: S608

# Their faces were too old, or are gone for another reason; those of a merged one are in another.
_IS_OLD_VISIT = """
created_at < $1 AND NOT EXISTS (SELECT FROM visit_faces WHERE visit_id = visits.visit_id)
"""

# Those, too, whose faces the same run is going to delete.
OLD_VISITS = """
SELECT count(*) FROM visits WHERE created_at < $1 AND NOT EXISTS (
    SELECT FROM visit_faces JOIN faces ON faces.id = face_id
    WHERE visit_id = visits.visit_id AND faces.created_at >= $1)
"""

SOME_OLD_VISITS = f"""
SELECT visit_id FROM visits WHERE {_IS_OLD_VISIT} ORDER BY created_at LIMIT $2
"""  # noqa: S608

DELETE_OLD_VISITS = f"""
DELETE FROM visits WHERE visit_id = ANY($2::uuid[]) AND {_IS_OLD_VISIT} RETURNING 1
"""  # noqa: S608

# What a camera saw last is about faces that are gone, too: messages that nothing has sent since,
# and the checkpoint.
DELETE_OLD_MESSAGES = """
DELETE FROM visit_messages WHERE camera_id IN (
    SELECT camera_id FROM visit_cameras WHERE updated_at < $1)
"""

FORGET_OLD_CHECKPOINTS = """
UPDATE visit_cameras SET checkpoint = NULL, checkpoint_at = NULL, checkpoint_event = NULL
WHERE updated_at < $1 AND checkpoint IS NOT NULL
"""

# Counts of the faces that are gone; they name none.
DELETE_OLD_SHADOW_COUNTS = "DELETE FROM shadow_counts WHERE hour < $1"

_IS_OLD_CAMERA = """
updated_at < $1
AND NOT EXISTS (SELECT FROM visit_messages WHERE camera_id = visit_cameras.camera_id)
AND NOT EXISTS (SELECT FROM visits WHERE camera_id = visit_cameras.camera_id AND ended_at IS NULL)
"""

OLD_CAMERAS = f"SELECT count(*) FROM visit_cameras WHERE {_IS_OLD_CAMERA}"  # noqa: S608

DELETE_OLD_CAMERAS = f"""
DELETE FROM visit_cameras WHERE camera_id IN (
    SELECT camera_id FROM visit_cameras WHERE {_IS_OLD_CAMERA} ORDER BY updated_at LIMIT $2
)
RETURNING 1
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
        How many went, and what leads to the crops and embeddings of the sightings, and to the
        pictures of the snapshots.
    """
    photos = await connection.fetch(DELETE_LEFT_OUT, before.limit)
    visits: list[asyncpg.Record] = []
    faces, lines, cameras = [], [], []
    unknowns: frozenset[UUID] = frozenset()
    if before.sightings is not None:
        faces = await connection.fetch(DELETE_OLD_SIGHTINGS, before.sightings, before.limit)
        # Once the old faces are gone: else each call would look at all visits that have some.
        if len(faces) < before.limit:
            visits, unknowns = await _expire_visits(connection, before.sightings, before.limit)
        for statement in (DELETE_OLD_MESSAGES, FORGET_OLD_CHECKPOINTS, DELETE_OLD_SHADOW_COUNTS):
            await connection.execute(statement, before.sightings)
    if before.ledger is not None:
        lines = await connection.fetch(DELETE_OLD_EVENTS, before.ledger, before.limit)
        cameras = await connection.fetch(DELETE_OLD_CAMERAS, before.ledger, before.limit)
    if before.unknowns is not None:
        unknowns |= await unknown_erasure.expire_unknowns(connection, before.unknowns, before.limit)
    # Once the visits are gone whose faces were too old.
    snapshots = await expire_snapshots(connection, before.sightings, before.limit)
    elsewhere = References(
        snapshot_keys=frozenset(snapshots),
        face_ids=frozenset(row["id"] for row in (*faces, *photos)),
        crop_keys=frozenset(row["crop_key"] for row in (*faces, *photos) if row["crop_key"]),
        unknown_ids=unknowns,
    )
    counts = {
        "sightings": len(faces),
        "visits": len(visits),
        "snapshots": len(snapshots),
        "ledger lines": len(lines),
        "cameras of visits": len(cameras),
        "unknowns": len(unknowns),
        "photos taken out": len(photos),
    }
    return Traces(counts, elsewhere)


async def _expire_visits(
    connection: "Session", before: "datetime", limit: int
) -> "tuple[list[asyncpg.Record], frozenset[UUID]]":
    """Delete visits without faces; the unknowns who had no other visit go, too.

    Returns:
        A row for each visit, and these unknowns.
    """
    old = [row["visit_id"] for row in await connection.fetch(SOME_OLD_VISITS, before, limit)]
    async with connection.transaction():
        # Templates have a retention of their own: that of the unknown.
        _, emptied = await unknown_erasure.withdraw_visits(connection, old, due=False)
        return await connection.fetch(DELETE_OLD_VISITS, before, old), emptied


async def overdue(connection: "Session", before: Cutoffs) -> Traces:
    """How many of each kind are too old."""
    kinds = ("sightings", "visits", "snapshots", "ledger lines", "cameras of visits", "unknowns")
    counts = dict.fromkeys(kinds, 0)
    counts["photos taken out"] = await connection.fetchval(LEFT_OUT)
    counts["snapshots"] = await connection.fetchval(TOO_OLD, before.sightings)
    if before.sightings is not None:
        counts["sightings"] = await connection.fetchval(OLD_SIGHTINGS, before.sightings)
        counts["visits"] = await connection.fetchval(OLD_VISITS, before.sightings)
    if before.ledger is not None:
        counts["ledger lines"] = await connection.fetchval(OLD_EVENTS, before.ledger)
        counts["cameras of visits"] = await connection.fetchval(OLD_CAMERAS, before.ledger)
    if before.unknowns is not None:
        counts["unknowns"] = await connection.fetchval(unknown_erasure.TOO_OLD, before.unknowns)
    return Traces(counts)
