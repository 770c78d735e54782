"""What writes, finds and deletes snapshots in the main database, as SQL with its calls.

A transaction that locks faces and snapshots locks the faces first.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain.store_rows import EventResult

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from sinks.postgres.checked_connection import Session

# Another model's result of the same frame has the same picture.
KEEP = """
INSERT INTO snapshots (event_uuid, key, camera_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])
ON CONFLICT (event_uuid) DO NOTHING
"""

# A face that was followed is shown by its best face, whose frame shows it, too.
OF_FACES = """
SELECT face.id, key
FROM faces AS face
LEFT JOIN faces AS best ON best.id = face.best_face_id
JOIN snapshots ON snapshots.event_uuid = COALESCE(best.event_uuid, face.event_uuid)
WHERE face.id = ANY($1::uuid[])
"""

_IN_FRAMES_OF = """
WITH shown AS ({faces})
SELECT event_uuid, key FROM snapshots WHERE event_uuid IN (
    SELECT event_uuid FROM shown
    UNION
    SELECT event_uuid FROM faces WHERE id IN (SELECT best_face_id FROM shown)
)
"""

# All people in a frame are in its snapshot: also one who is known by a visit alone.
OF_USER = _IN_FRAMES_OF.format(
    faces="""
    SELECT event_uuid, best_face_id FROM faces WHERE user_id = $1
    UNION
    SELECT face.event_uuid, face.best_face_id
    FROM visits JOIN visit_faces USING (visit_id) JOIN faces AS face ON face.id = face_id
    WHERE visits.user_id = $1
    UNION
    SELECT face.event_uuid, face.best_face_id
    FROM visits JOIN faces AS face ON face.id = visits.best_face_id
    WHERE visits.user_id = $1
"""
)

SHOWING_FACES = _IN_FRAMES_OF.format(
    faces="SELECT event_uuid, best_face_id FROM faces WHERE id = ANY($1::uuid[])"
)

FORGET = """
DELETE FROM snapshots USING (
    SELECT event_uuid FROM snapshots WHERE event_uuid = ANY($1::uuid[])
    ORDER BY event_uuid FOR UPDATE
) AS held
WHERE snapshots.event_uuid = held.event_uuid
RETURNING key
"""

# The faces of the frame are in visits that were over ten minutes ago, and each visit is shown by
# another frame. Snapshots of frames without a visit wait for one: a follow worker may be behind.
# One that was needed for a week is not looked at again: what shows a visit then goes on showing it.
_IS_NEEDLESS = """
created_at BETWEEN now() - interval '7 days' AND now() - interval '10 minutes'
AND EXISTS (
    SELECT FROM faces JOIN visit_faces ON face_id = id WHERE event_uuid = kept.event_uuid)
AND NOT EXISTS (
    SELECT FROM faces AS face
    JOIN visit_faces AS part ON part.face_id = face.id
    JOIN visits AS visit USING (visit_id)
    LEFT JOIN faces AS shown ON shown.id = visit.best_face_id
    WHERE face.event_uuid = kept.event_uuid
      AND (ended_at IS NULL OR changed_at >= now() - interval '10 minutes'
           OR face.id IN (shown.id, shown.best_face_id)))
"""

# A snapshot is stored with the faces of its frame, and is as old as they are.
_IS_TOO_OLD = f"(created_at < $1::timestamptz OR ({_IS_NEEDLESS}))"

TOO_OLD = f"SELECT count(*) FROM snapshots AS kept WHERE {_IS_TOO_OLD}"  # noqa: S608 - made of constants, as below

DELETE_TOO_OLD = f"""
DELETE FROM snapshots USING (
    SELECT event_uuid FROM snapshots WHERE event_uuid IN (
        SELECT event_uuid FROM snapshots AS kept WHERE {_IS_TOO_OLD} ORDER BY created_at LIMIT $2
    )
    ORDER BY event_uuid FOR UPDATE
) AS held
WHERE snapshots.event_uuid = held.event_uuid
RETURNING key
"""  # noqa: S608

PAGE = """
SELECT event_uuid, key FROM snapshots
WHERE event_uuid > $1 AND created_at < $2 ORDER BY event_uuid LIMIT $3
"""

KEYS = "SELECT event_uuid, key FROM snapshots WHERE event_uuid = ANY($1::uuid[])"

#: Where the table names frames that show users, and what an erasure does about it.
ERASED_PLACES = {
    "snapshots.event_uuid": "deleted if a face of the user, or of the user's visits, is in it",
    "snapshots.key": "deleted with its picture",
}


async def keep(connection: "Session", results: Sequence[EventResult]) -> None:
    """Write which frames are kept, in the transaction of their results."""
    kept = sorted(
        (one.event.uuid, one.snapshot_key, one.event.key) for one in results if one.snapshot_key
    )
    if kept:
        await connection.execute(KEEP, *map(list, zip(*kept, strict=True)))


async def of_user(connection: "Session", user_id: UUID) -> dict[UUID, str]:
    """Snapshots that show a user, with their keys."""
    return _keys(await connection.fetch(OF_USER, user_id))


async def showing_faces(connection: "Session", face_ids: Collection[UUID]) -> dict[UUID, str]:
    """Snapshots that show these faces or their best faces, with their keys."""
    return _keys(await connection.fetch(SHOWING_FACES, list(face_ids)))


async def forget(connection: "Session", event_uuids: Collection[UUID]) -> list[str]:
    """Delete the rows of snapshots; their keys."""
    if not event_uuids:
        return []
    return [row["key"] for row in await connection.fetch(FORGET, list(event_uuids))]


async def expire_snapshots(
    connection: "Session", before: "datetime | None", limit: int
) -> list[str]:
    """Delete those that are too old, and those that no visit is shown by; their keys.

    Args:
        connection: to the main database.
        before: what was stored before this moment is too old; None: nothing is.
        limit: at most so many.
    """
    return [row["key"] for row in await connection.fetch(DELETE_TOO_OLD, before, limit)]


def _keys(rows: "list[asyncpg.Record]") -> dict[UUID, str]:
    return {row["event_uuid"]: row["key"] for row in rows}
