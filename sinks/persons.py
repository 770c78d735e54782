"""One person in the main database: what is there, and taking it out. Used by `sinks.records`."""

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from sinks.rows import MainTraces
from streams.uploads import event_uuid

if TYPE_CHECKING:
    from sinks.postgres import Connection

#: An enrolled face is the person's own: nothing was compared, so there is no similarity.
ENROLLED = "user_id IS NOT NULL AND similarity IS NULL"

FACES = f"""
SELECT event_uuid, crop_key, {ENROLLED} AS enrolled FROM faces WHERE user_id = $1
"""  # noqa: S608 - made of constants, as all below

# Every photo that was sent in to enrol the person is in the audit trail, the refused ones too.
UPLOADS = """
SELECT DISTINCT jsonb_array_elements_text(detail->'uploads') FROM audit
WHERE target = $1 AND action = 'face.enrol' AND jsonb_typeof(detail->'uploads') = 'array'
"""

# Answers to enrolments name the person, and answers to searches every candidate.
NAMED_IN_ANSWERS = "kind <> 'frame' AND answer::text LIKE '%' || $1 || '%'"

ANSWERS = f"SELECT count(*) FROM events WHERE {NAMED_IN_ANSWERS}"  # noqa: S608

USERS = "SELECT count(*) FROM users WHERE id = $1"

# Whoever commits a face that names the person holds the row until then, so nobody is left
# committing one; whoever comes later waits, and finds that there is no such user.
LOCK_USER = "SELECT id FROM users WHERE id = $1 FOR UPDATE"

# Every client writes down that it enrols somebody before it sends the photos.
IS_UNTOUCHED = """
SELECT EXISTS (SELECT FROM users WHERE id = $1)
   AND NOT EXISTS (SELECT FROM faces WHERE user_id = $1)
   AND (SELECT count(*) FROM audit WHERE target = $2) <= $3
"""

DELETE_ENROLLED = f"DELETE FROM faces WHERE user_id = $1 AND {ENROLLED} RETURNING crop_key"  # noqa: S608

# RETURNING gives the new row; the old key comes from the row as it was before the statement.
UNLINK_SIGHTINGS = """
UPDATE faces SET user_id = NULL, crop_key = NULL
FROM (SELECT id, crop_key FROM faces WHERE user_id = $1 FOR UPDATE) AS before
WHERE faces.id = before.id
RETURNING before.crop_key
"""

DELETE_ANSWERS = f"DELETE FROM events WHERE {NAMED_IN_ANSWERS} RETURNING 1"  # noqa: S608

DELETE_USER = "DELETE FROM users WHERE id = $1 RETURNING 1"

NOTE = """
INSERT INTO audit (actor, action, target, detail, request_id)
VALUES ($1, 'user.delete', $2, $3::jsonb, $4)
"""

# Holds the erasure of these people off until the transaction ends.
PRESENT = "SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE"


class Removal(NamedTuple):
    """What was taken out of the main database.

    Attributes:
        user: 1 when the user's row was deleted.
        enrolled: rows of enrolled faces deleted.
        sightings: rows that lost link and crop.
        answers: lines of the ledger deleted.
        crop_keys: S3 keys of the crops that all these rows named.
    """

    user: int
    enrolled: int
    sightings: int
    answers: int
    crop_keys: list[str]


class Author(NamedTuple):
    """Who erases, for the audit trail: ``key:{id}`` or ``cli:{account}``, and the request."""

    actor: str
    request_id: str | None = None


async def look(connection: "Connection", user_id: UUID) -> MainTraces:
    """What the main database holds of a person, at one moment."""
    faces = await connection.fetch(FACES, user_id)
    uploads = await connection.fetch(UPLOADS, f"user:{user_id}")
    events = {row["event_uuid"] for row in faces if row["enrolled"]}
    events |= {event_uuid(row[0]) for row in uploads}
    return MainTraces(
        user=await connection.fetchval(USERS, user_id),
        enrolled=sum(row["enrolled"] for row in faces),
        sightings=sum(not row["enrolled"] for row in faces),
        answers=await connection.fetchval(ANSWERS, str(user_id)),
        crop_keys=[row["crop_key"] for row in faces if row["crop_key"]],
        upload_events=sorted(events),
    )


async def take_out_untouched(
    connection: "Connection", user_id: UUID, author: Author, entries: int
) -> bool:
    """Delete a person with whom nobody has had to do, in the connection's transaction.

    Args:
        connection: in a transaction, read committed: what others commit before the row is
            locked is seen.
        user_id: the person.
        author: who does it.
        entries: how many of the audit trail are the caller's own.

    Returns:
        False when there are faces of the person, or more entries in the audit trail: then nothing
        was done.
    """
    await connection.execute(LOCK_USER, user_id)
    if not await connection.fetchval(IS_UNTOUCHED, user_id, f"user:{user_id}", entries):
        return False
    await take_out(connection, user_id, author, {"templates": 0, "sightings": 0, "crops": 0})
    return True


async def take_out(
    connection: "Connection", user_id: UUID, author: Author, noted: dict[str, int]
) -> Removal:
    """Delete or unlink every row of a person, in the connection's transaction.

    Args:
        connection: in a transaction, so that rows and audit entry stand or fall together.
        user_id: the person.
        author: who does it.
        noted: what the other stores lost, for the audit trail; nothing personal.
    """
    await connection.execute(LOCK_USER, user_id)
    enrolled = await connection.fetch(DELETE_ENROLLED, user_id)
    sightings = await connection.fetch(UNLINK_SIGHTINGS, user_id)
    answers = await connection.fetch(DELETE_ANSWERS, str(user_id))
    users = await connection.fetch(DELETE_USER, user_id)
    detail = msgspec.json.encode(noted).decode()
    await connection.execute(NOTE, author.actor, f"user:{user_id}", detail, author.request_id)
    return Removal(
        user=len(users),
        enrolled=len(enrolled),
        sightings=len(sightings),
        answers=len(answers),
        crop_keys=[row["crop_key"] for row in (*enrolled, *sightings) if row["crop_key"]],
    )
