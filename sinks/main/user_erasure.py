"""One person in the main database: what is there, and taking it out. Used by `main_store`."""

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from domain.personal_data import DataSubject, References, Traces
from domain.upload_events import event_uuid
from sinks.main.best_faces import FORGET_BEST_CROPS_OF_USER
from sinks.main.people import correction_statements, people_messages
from sinks.main.snapshots import snapshot_statements
from sinks.main.unknowns import unknown_erasure
from sinks.main.visits import visit_erasure

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

    from sinks.postgres.checked_connection import Session

# A face without a crop of its own is shown by the crop of its best face, which is deleted too.
FACES = """
SELECT face.event_uuid, COALESCE(face.crop_key, best.crop_key) AS crop_key,
       face.kind IN ('enrolled', 'removed') AS enrolled
FROM faces AS face LEFT JOIN faces AS best ON best.id = face.best_face_id
WHERE face.user_id = $1
"""

# Every photo that was sent in to enrol the person is in the audit trail, the refused ones too.
UPLOADS = """
SELECT DISTINCT jsonb_array_elements_text(detail->'uploads') FROM audit
WHERE target = $1 AND action = 'face.enrol' AND jsonb_typeof(detail->'uploads') = 'array'
"""

# Lines of an older release do not say whom they name. Their answers do: to enrolments the person,
# to searches every candidate. In the order of the index of such lines: the planner, which takes
# them for many, would read all uploads otherwise.
FILL_EVENT_USERS = """
UPDATE events SET people = ARRAY(
    SELECT DISTINCT (named #>> '{}')::uuid FROM jsonb_path_query(answer, '$.**.user_id') AS named
    WHERE jsonb_typeof(named) = 'string'
)
FROM (
    SELECT event_uuid, model FROM events WHERE people IS NULL AND kind <> 'frame'
    ORDER BY event_uuid LIMIT $1 FOR UPDATE SKIP LOCKED
) AS older
WHERE events.event_uuid = older.event_uuid AND events.model = older.model
RETURNING 1
"""

# Photos that any client sent to enrol the user, and searches with the user as a candidate. Refused
# photos of an older release are found by the audit trail.
ABOUT = "(people @> ARRAY[$1::uuid] OR event_uuid = ANY($2::uuid[]))"

ANSWERS = f"SELECT event_uuid, key, kind, dataref FROM events WHERE {ABOUT}"  # noqa: S608 - made of constants, as below

USERS = "SELECT count(*) FROM users WHERE id = $1"

# A worker that commits a face of this user holds the row until then, so after this lock none is
# being committed; later workers wait, and find that there is no such user.
LOCK_USER = "SELECT id FROM users WHERE id = $1 FOR UPDATE"

# Who is left has the faces: once that user is erased, this one can be.
IS_MERGED = """
SELECT EXISTS (SELECT FROM users AS one JOIN users AS other ON other.id = one.merged_into
               WHERE one.id = $1)
"""

# Every client records an enrolment in the audit trail before it sends the photos.
IS_UNTOUCHED = """
SELECT EXISTS (SELECT FROM users WHERE id = $1)
   AND NOT EXISTS (SELECT FROM faces WHERE user_id = $1)
   AND (SELECT count(*) FROM audit WHERE target = $2) <= $3
"""

DELETE_ENROLLED = """
DELETE FROM faces WHERE user_id = $1 AND kind IN ('enrolled', 'removed') RETURNING crop_key
"""

# RETURNING gives the new row; the old key comes from the row as it was before the statement.
UNLINK_SIGHTINGS = """
UPDATE faces SET user_id = NULL, crop_key = NULL
FROM (
    SELECT id, crop_key FROM faces WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE
) AS before
WHERE faces.id = before.id
RETURNING before.crop_key
"""

# Locked in the order in which visits and retention lock faces.
FORGET_CANDIDATES = """
UPDATE faces SET candidate_id = NULL WHERE id IN (
    SELECT id FROM faces WHERE id IN (SELECT id FROM faces WHERE candidate_id = $1 LIMIT $2)
    ORDER BY id FOR NO KEY UPDATE
)
RETURNING 1
"""

CANDIDATES = "SELECT count(*) FROM faces WHERE candidate_id = $1"

DELETE_ANSWERS = f"DELETE FROM events WHERE {ABOUT} RETURNING 1"  # noqa: S608

DELETE_USER = "DELETE FROM users WHERE id = $1 RETURNING 1"

NOTE = """
INSERT INTO audit (actor, action, target, detail, request_id)
VALUES ($1, 'user.delete', $2, $3::jsonb, $4)
"""

_FILLED_AT_ONCE = 1000

#: Faces that forget their candidate in one transaction.
FORGOTTEN_AT_ONCE = 5000

#: What the audit trail says of the other stores, by what they call it.
_NOTED = {"templates": "templates", "sightings": "links of sightings", "crops": "crops"}

#: Where the main database names users or faces, and what an erasure does about it.
ERASED_PLACES = {
    "users.id": "deleted",
    "users.email": "deleted",
    "users.full_name": "deleted",
    "users.external_id": "deleted",
    "users.metadata": "deleted",
    "faces.id": "deleted if enrolled; else it is an unknown's",
    "faces.user_id": "deleted if enrolled; else unlinked",
    "faces.candidate_id": "forgotten",
    "faces.crop_key": "deleted with its crop, also of the best face of a face of the user",
    "faces.track_id": "deleted if enrolled; else an unknown's",
    "faces.best_face_id": "deleted if enrolled; else an unknown's, whose crop is deleted",
    "faces.landmarks": "deleted if enrolled; else an unknown's",
    "lost_embeddings.face_id": "goes with its face",
    "events.people": "the line is deleted",
    "events.answer": "the line is deleted",
    "events.dataref": "the line is deleted",
    "events.key": "the line of an upload is deleted; a frame's names a camera",
    **visit_erasure.ERASED_PLACES,
    **snapshot_statements.ERASED_PLACES,
    **unknown_erasure.ERASED_PLACES,
    **people_messages.ERASED_PLACES,
    **correction_statements.ERASED_PLACES,
}
KEPT_PLACES = {
    "audit.target": "who erased whom: ids alone",
    "audit.detail": "numbers, and ids of uploads",
}


async def look(connection: "Session", user_id: UUID) -> Traces:
    """What the main database holds of a person, at one moment."""
    faces = await connection.fetch(FACES, user_id)
    sent = await _sent_in(connection, user_id)
    answers = await connection.fetch(ANSWERS, user_id, sent)
    enrolments = [row for row in answers if row["kind"] == "enrol"]
    events = {row["event_uuid"] for row in (*enrolments, *(f for f in faces if f["enrolled"]))}
    visits, crops_of_visits = await visit_erasure.look_at_visits(connection, user_id)
    snapshots = await snapshot_statements.of_user(connection, user_id)
    unknowns = await unknown_erasure.of_user(connection, user_id)
    of_user, of_unknowns = await unknown_erasure.visits_of_user(connection, user_id)
    counts = {
        "enrolled faces": sum(row["enrolled"] for row in faces),
        "links of sightings": sum(not row["enrolled"] for row in faces),
        "candidates of unknown faces": await connection.fetchval(CANDIDATES, user_id),
        "answers to uploads": len(answers),
        **visits,
        "snapshots": len(snapshots),
        "unknowns": len(unknowns),
        "visits of unknowns": of_unknowns,
        "messages about people": await connection.fetchval(people_messages.COUNT_OF_USER, user_id),
        "corrections": await connection.fetchval(
            correction_statements.COUNT_OF_USER, user_id, list(unknowns)
        ),
        "user": await connection.fetchval(USERS, user_id),
    }
    elsewhere = References(
        crop_keys=_crop_keys(faces).union(crops_of_visits),
        snapshot_keys=frozenset(snapshots.values()),
        upload_events=frozenset(events.union(sent)),
        datarefs=frozenset(row["dataref"] for row in enrolments if row["dataref"]),
        upload_ids=frozenset(row["key"] for row in answers),
        unknown_ids=unknowns,
        visit_ids=of_user,
    )
    return Traces(counts, elsewhere)


async def _sent_in(connection: "Session", user_id: UUID) -> list[UUID]:
    """Events of the photos that the audit trail says were sent in to enrol a person."""
    rows = await connection.fetch(UPLOADS, f"user:{user_id}")
    return [event_uuid(row[0]) for row in rows]


async def fill_event_users(connection: "Session", limit: int) -> int:
    """Note of lines of an older release whom they name; returns how many there were."""
    return len(await connection.fetch(FILL_EVENT_USERS, limit))


async def forget_candidates(connection: "Session", user_id: UUID) -> int:
    """Have some unknown faces forget that they resemble this user most; returns how many did.

    There may be more when it is `FORGOTTEN_AT_ONCE`.
    """
    return len(await connection.fetch(FORGET_CANDIDATES, user_id, FORGOTTEN_AT_ONCE))


async def delete_unless_used(connection: "Session", user: DataSubject, entries: int) -> bool:
    """Delete a user that no other client has used, in the connection's transaction.

    Args:
        connection: in a transaction, read committed: what others commit before the row is
            locked is seen.
        user: the person, and who does it.
        entries: how many of the audit trail are the caller's own.

    Returns:
        False when there are faces of the person, or more entries in the audit trail: then nothing
        was done.
    """
    await connection.execute(LOCK_USER, user.id)
    if await connection.fetchval(IS_MERGED, user.id):
        return False
    if not await connection.fetchval(IS_UNTOUCHED, user.id, f"user:{user.id}", entries):
        return False
    await take_out(connection, user)
    return True


async def take_out(connection: "Session", user: DataSubject, forgotten: int = 0) -> Traces:
    """Delete or unlink every row of a person, in the connection's transaction.

    Nothing is done to a user who was merged into one that is there: that one has the faces.

    Args:
        connection: in a transaction, so that rows and audit entry are both committed, or neither.
        user: the person, who erases, and what the other stores have lost.
        forgotten: how many unknown faces have forgotten the user as their candidate before.

    Returns:
        How many rows went or lost their link, and the crops and snapshots that they named.
    """
    await connection.execute(LOCK_USER, user.id)
    if await connection.fetchval(IS_MERGED, user.id):
        return Traces(dict.fromkeys((await look(connection, user.id)).counts, 0))
    # What was committed by an older worker since the last look.
    await fill_event_users(connection, _FILLED_AT_ONCE)
    sent = await _sent_in(connection, user.id)
    of_user, _ = await unknown_erasure.visits_of_user(connection, user.id)
    withdrawn, emptied = await unknown_erasure.withdraw_visits(
        connection, sorted(of_user), due=True
    )
    shown = await snapshot_statements.of_user(connection, user.id)
    enrolled = await connection.fetch(DELETE_ENROLLED, user.id)
    best = await connection.fetch(FORGET_BEST_CROPS_OF_USER, user.id)
    of_visits = await visit_erasure.forget_crops_of_visits(connection, user.id)
    sightings = await connection.fetch(UNLINK_SIGHTINGS, user.id)
    latest = FORGOTTEN_AT_ONCE
    while latest == FORGOTTEN_AT_ONCE:
        latest = await forget_candidates(connection, user.id)
        forgotten += latest
    answers = await connection.fetch(DELETE_ANSWERS, user.id, sent)
    visits = await visit_erasure.unlink_visits(connection, user.id)
    snapshots = await snapshot_statements.forget(connection, shown)
    unknowns = await unknown_erasure.forget_unknowns(connection, user.id, user.known.unknown_ids)
    corrections = await connection.fetch(correction_statements.FORGET_USER, user.id, list(unknowns))
    messages = await people_messages.forget_messages(connection, user.id)
    users = await connection.fetch(DELETE_USER, user.id)
    noted = {name: user.removed.get(what, 0) for name, what in _NOTED.items()}
    detail, author = msgspec.json.encode(noted).decode(), user.author
    await connection.execute(NOTE, author.actor, f"user:{user.id}", detail, author.request_id)
    counts = {
        "enrolled faces": len(enrolled),
        "links of sightings": len(sightings),
        "candidates of unknown faces": forgotten,
        "answers to uploads": len(answers),
        **visits,
        "snapshots": len(snapshots),
        "unknowns": len(unknowns),
        "visits of unknowns": withdrawn,
        "messages about people": messages,
        "corrections": len(corrections),
        "user": len(users),
    }
    crops = _crop_keys([*enrolled, *best, *sightings]).union(of_visits)
    elsewhere = References(
        crop_keys=crops,
        snapshot_keys=frozenset(snapshots),
        unknown_ids=unknowns | emptied,
        visit_ids=of_user,
    )
    return Traces(counts, elsewhere)


def _crop_keys(rows: "Iterable[asyncpg.Record]") -> frozenset[str]:
    return frozenset(row["crop_key"] for row in rows if row["crop_key"])
