"""One person in the tables of visits: what is there, and taking it out.

Used by `sinks.main.user_erasure`, whose transaction this is part of.
"""

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

# A checkpoint has users as text. There is one for each camera.
_NAMING = "position(convert_to($1::uuid::text, 'UTF8') IN checkpoint) > 0"

COUNTS = f"""
SELECT (SELECT count(*) FROM visits WHERE user_id = $1) AS "visits",
       (SELECT count(*) FROM visit_cameras WHERE {_NAMING}) AS "visit checkpoints",
       (SELECT count(*) FROM visit_messages WHERE user_id = $1) AS "visit messages"
"""  # noqa: S608 - made of constants, as below

# The best face, and each one that was not recognised by itself, but by its visit.
_FACES_OF_VISITS = """
SELECT best_face_id FROM visits WHERE user_id = $1
UNION
SELECT face_id FROM visits JOIN visit_faces USING (visit_id) JOIN faces ON faces.id = face_id
WHERE visits.user_id = $1 AND faces.user_id IS NULL AND faces.crop_key IS NOT NULL
"""

CROP_KEYS = f"""
SELECT crop_key FROM faces WHERE id IN ({_FACES_OF_VISITS}) AND crop_key IS NOT NULL
"""  # noqa: S608

# RETURNING gives the new row; the old key comes from the row as it was before the statement.
FORGET_CROPS = f"""
UPDATE faces SET crop_key = NULL
FROM (
    SELECT id, crop_key FROM faces WHERE id IN ({_FACES_OF_VISITS}) AND crop_key IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE
) AS before
WHERE faces.id = before.id
RETURNING before.crop_key
"""  # noqa: S608

# Without it, a worker reads the state of the camera from the faces of the last hour.
FORGET_CHECKPOINTS = f"""
UPDATE visit_cameras SET checkpoint = NULL, checkpoint_at = NULL, checkpoint_event = NULL
FROM (
    SELECT camera_id FROM visit_cameras WHERE {_NAMING} ORDER BY camera_id FOR NO KEY UPDATE
) AS naming
WHERE visit_cameras.camera_id = naming.camera_id
RETURNING 1
"""  # noqa: S608

UNLINK_VISITS = """
UPDATE visits SET user_id = NULL, similarity = NULL
FROM (
    SELECT visit_id FROM visits WHERE user_id = $1 ORDER BY visit_id FOR NO KEY UPDATE
) AS linked
WHERE visits.visit_id = linked.visit_id
RETURNING 1
"""

UNLINK_MESSAGES = """
UPDATE visit_messages SET user_id = NULL, body = body - 'similarity'
FROM (
    SELECT visit_id, revision FROM visit_messages WHERE user_id = $1
    ORDER BY visit_id, revision FOR NO KEY UPDATE
) AS linked
WHERE visit_messages.visit_id = linked.visit_id AND visit_messages.revision = linked.revision
RETURNING 1
"""

#: Where these tables name users or faces, and what an erasure does about it.
ERASED_PLACES = {
    "visits.user_id": "unlinked, without its similarity",
    "visits.best_face_id": "an unknown's, whose crop is deleted",
    "visit_faces.face_id": "an unknown's; its crop is deleted",
    "visit_cameras.checkpoint": "deleted if it names the user",
    "visit_messages.user_id": "unlinked",
    "visit_messages.body": "has no user; its similarity is deleted",
}


async def look_at_visits(connection: "Session", user_id: UUID) -> tuple[dict[str, int], list[str]]:
    """How much names a person, and the keys of crops that show them by their visits alone."""
    counts = await connection.fetchrow(COUNTS, user_id)
    assert counts is not None, "counting gives one row"  # noqa: S101
    crops = await connection.fetch(CROP_KEYS, user_id)
    return dict(counts), [row["crop_key"] for row in crops]


async def forget_crops_of_visits(connection: "Session", user_id: UUID) -> list[str]:
    """Take the crops that show a person by their visits alone out of the rows; their keys."""
    return [row["crop_key"] for row in await connection.fetch(FORGET_CROPS, user_id)]


async def unlink_visits(connection: "Session", user_id: UUID) -> dict[str, int]:
    """Make a person's visits an unknown's; cameras come before visits, as in a commit.

    Returns:
        How many of each kind there were.
    """
    checkpoints = await connection.fetch(FORGET_CHECKPOINTS, user_id)
    visits = await connection.fetch(UNLINK_VISITS, user_id)
    messages = await connection.fetch(UNLINK_MESSAGES, user_id)
    return {
        "visits": len(visits),
        "visit checkpoints": len(checkpoints),
        "visit messages": len(messages),
    }
