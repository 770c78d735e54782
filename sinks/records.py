"""The main database: the ledger of events, the faces, the people.

`Records.commit` is the commit point of the pipeline. The ledger's primary key decides which
result of an event counts; the faces of a result are written in the same statement or not at all.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from config.settings import DatabaseSettings
from sinks.errors import StoreUnavailable
from sinks.postgres import PostgresSink
from sinks.rows import (
    KIND_NAMES,
    EventKey,
    EventResult,
    FaceRow,
    LedgerRow,
    Outcome,
    UserRow,
)
from streams.events import FaceMatch

_LEDGER_COLUMNS = """event_uuid, model, kind, source, id, key, captured_at, width, height,
    face_count, outcome, answer::text AS answer, announced_at, processed_at"""

_FACE_COLUMNS = """id, event_id, index, camera_id, captured_at, box, landmarks, score, quality,
    model, crop_key, user_id, similarity, runner_up_similarity"""

_USER_COLUMNS = "id, email, full_name, is_active, created_at, updated_at"

SETTLED = f"""
SELECT {_LEDGER_COLUMNS} FROM events
JOIN unnest($1::uuid[], $2::text[]) AS asked (event_uuid, model) USING (event_uuid, model)
"""  # noqa: S608 - made of constants, as all below

# One statement, so one transaction and one round trip. The join with `fresh` gives faces only to
# events that no one has settled; the join with `users` makes the face of a person who was deleted
# meanwhile an unknown's. A face can be there already when its event was pruned from the ledger.
COMMIT = """
WITH fresh AS (
    INSERT INTO events (event_uuid, model, kind, source, id, key, captured_at, width, height,
                        face_count, outcome, answer)
    SELECT event_uuid, model, kind, source, id, key, captured_at, width, height,
           face_count, outcome, answer
    FROM json_to_recordset($1::json) AS result (
        event_uuid uuid, model text, kind text, source text, id text, key text,
        captured_at timestamptz, width integer, height integer, face_count integer,
        outcome text, answer jsonb)
    ON CONFLICT (event_uuid, model) DO NOTHING
    RETURNING event_uuid, model
), stored AS (
    INSERT INTO faces (id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks,
                       score, quality, model, crop_key, user_id, similarity, runner_up_similarity)
    SELECT face.id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks,
           score, quality, model, crop_key, users.id, similarity, runner_up_similarity
    FROM json_to_recordset($2::json) AS face (
        id uuid, event_uuid uuid, event_id text, index integer, camera_id text,
        captured_at timestamptz, box float8[], landmarks float8[], score float8, quality float8,
        model text, crop_key text, user_id uuid, similarity float8, runner_up_similarity float8)
    JOIN fresh USING (event_uuid, model)
    LEFT JOIN users ON users.id = face.user_id
    ON CONFLICT (id) DO NOTHING
)
SELECT event_uuid, model FROM fresh
"""

MARK_ANNOUNCED = """
UPDATE events SET announced_at = now()
FROM unnest($1::uuid[], $2::text[]) AS announced (event_uuid, model)
WHERE events.event_uuid = announced.event_uuid AND events.model = announced.model
  AND announced_at IS NULL
"""

EVENT = f"SELECT {_LEDGER_COLUMNS} FROM events WHERE event_uuid = $1 AND model = $2"  # noqa: S608

# Of a photo that several models have looked at, the last look counts.
UPLOAD = f"""
SELECT {_LEDGER_COLUMNS} FROM events WHERE event_uuid = $1
ORDER BY processed_at DESC LIMIT 1
"""  # noqa: S608

FACES_OF_EVENT = f"""
SELECT {_FACE_COLUMNS} FROM faces WHERE event_uuid = $1 AND model = $2 ORDER BY index
"""  # noqa: S608

RECENT_FACES = f"""
SELECT {_FACE_COLUMNS} FROM faces
WHERE ($2::text IS NULL OR camera_id = $2)
  AND ($3::uuid IS NULL OR user_id = $3)
  AND ($4::timestamptz IS NULL OR captured_at >= $4)
ORDER BY captured_at DESC, id DESC
LIMIT $1
"""  # noqa: S608

# The update touches nothing when there is nothing new (a trigger keeps updated_at then), but is
# needed for RETURNING to give the row that is there.
ENSURE_USER = f"""
INSERT INTO users (email, full_name) VALUES ($1, $2)
ON CONFLICT (lower(email)) DO UPDATE SET full_name = COALESCE(excluded.full_name, users.full_name)
RETURNING {_USER_COLUMNS}
"""  # noqa: S608

USERS = f"SELECT {_USER_COLUMNS} FROM users WHERE id = ANY($1::uuid[])"  # noqa: S608

USERS_EXIST = "SELECT id FROM users WHERE id = ANY($1::uuid[])"

#: A user may be deleted between the statement's snapshot and the check of the foreign key; the
#: next attempt sees that. More than a few in a row mean something else.
_COMMIT_ATTEMPTS = 3

_encode = msgspec.json.Encoder().encode


class Records(PostgresSink):
    """Reads and writes the main database. All methods raise the errors of `sinks.errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; `connect` opens it."""
        super().__init__(settings, "main")

    async def settled(self, pairs: Iterable[tuple[UUID, str]]) -> dict[EventKey, LedgerRow]:
        """Look up which results are there already.

        Args:
            pairs: event UUID and model of each.

        Returns:
            The ledger's row of each that is settled; the others are missing.
        """
        asked = set(pairs)
        if not asked:
            return {}
        async with self._connection("look up settled events") as connection:
            records = await connection.fetch(
                SETTLED, [uuid for uuid, _ in asked], [model for _, model in asked]
            )
        rows = (_ledger_row(record) for record in records)
        return {EventKey(row.event_uuid, row.model): row for row in rows}

    async def commit(self, results: Sequence[EventResult]) -> set[EventKey]:
        """Write results in one transaction: the first of each event and model wins, whole.

        Repetitions, in the batch or of what another worker has written, change nothing.

        Args:
            results: what the events came to.

        Returns:
            The keys of those that were written now.
        """
        firsts: dict[EventKey, EventResult] = {}
        for result in results:
            firsts.setdefault(result.key, result)
        if not firsts:
            return set()
        # Two workers that write the same events in the same order cannot deadlock.
        ordered = [firsts[key] for key in sorted(firsts)]
        async with self._connection("commit results") as connection:
            events = _encode([_event_fields(result) for result in ordered]).decode()
            faces = _encode([_face_fields(one, face) for one in ordered for face in one.faces])
            for attempt in range(1, _COMMIT_ATTEMPTS + 1):
                try:
                    records = await connection.fetch(COMMIT, events, faces.decode())
                except asyncpg.ForeignKeyViolationError as error:
                    if attempt == _COMMIT_ATTEMPTS:
                        raise StoreUnavailable(
                            self.store, "commit results", "users keep vanishing meanwhile"
                        ) from error
                else:
                    break
        return {EventKey(record["event_uuid"], record["model"]) for record in records}

    async def mark_announced(self, keys: Iterable[tuple[UUID, str]]) -> None:
        """Note that the broker has acknowledged all messages about these events."""
        told = sorted(set(keys))
        if not told:
            return
        async with self._connection("mark events announced") as connection:
            await connection.execute(
                MARK_ANNOUNCED, [uuid for uuid, _ in told], [model for _, model in told]
            )

    async def event(self, event_uuid: UUID, model: str) -> LedgerRow | None:
        """The ledger's row of one event; None when it is not settled (or was pruned)."""
        async with self._connection("read an event") as connection:
            record = await connection.fetchrow(EVENT, event_uuid, model)
        return None if record is None else _ledger_row(record)

    async def upload(self, event_uuid: UUID) -> LedgerRow | None:
        """The ledger's row of an upload, whatever the model; None when it is not settled."""
        async with self._connection("read an upload") as connection:
            record = await connection.fetchrow(UPLOAD, event_uuid)
        return None if record is None else _ledger_row(record)

    async def faces_of(self, event_uuid: UUID, model: str) -> list[FaceRow]:
        """The stored faces of one event in their order, to announce them again after a crash."""
        async with self._connection("read the faces of an event") as connection:
            records = await connection.fetch(FACES_OF_EVENT, event_uuid, model)
        return [_face_row(record) for record in records]

    async def recent_faces(
        self,
        limit: int,
        camera: str | None = None,
        user: UUID | None = None,
        since: datetime | None = None,
    ) -> list[FaceRow]:
        """The latest faces by time of capture, newest first.

        Args:
            limit: at most so many.
            camera: only of this camera (or upload).
            user: only of this person.
            since: only captured at this moment or later.
        """
        async with self._connection("list recent faces") as connection:
            records = await connection.fetch(RECENT_FACES, limit, camera, user, since)
        return [_face_row(record) for record in records]

    async def ensure_user(self, email: str, full_name: str | None = None) -> UserRow:
        """Find the user with this address, or make one.

        Args:
            email: address; its case and surrounding space do not matter.
            full_name: set when given; otherwise what is there stays.
        """
        async with self._connection("ensure a user") as connection:
            record = await connection.fetchrow(ENSURE_USER, email.strip(), full_name)
        assert record is not None, "an upsert returns its row"  # noqa: S101
        return _user_row(record)

    async def user(self, user_id: UUID) -> UserRow | None:
        """One user, if there is one."""
        return (await self.users([user_id])).get(user_id)

    async def users(self, user_ids: Iterable[UUID]) -> dict[UUID, UserRow]:
        """Those of these users that exist, by id."""
        asked = list(set(user_ids))
        if not asked:
            return {}
        async with self._connection("read users") as connection:
            records = await connection.fetch(USERS, asked)
        return {record["id"]: _user_row(record) for record in records}

    async def users_exist(self, user_ids: Iterable[UUID]) -> set[UUID]:
        """Which of these users exist."""
        asked = list(set(user_ids))
        if not asked:
            return set()
        async with self._connection("check users") as connection:
            records = await connection.fetch(USERS_EXIST, asked)
        return {record["id"] for record in records}


def _event_fields(result: EventResult) -> dict[str, object]:
    event = result.event
    return {
        "event_uuid": event.uuid,
        "model": result.model,
        "kind": KIND_NAMES[event.kind],
        "source": event.source,
        "id": event.id,
        "key": event.key,
        "captured_at": event.captured_at,
        "width": result.width,
        "height": result.height,
        "face_count": result.face_count,
        "outcome": result.outcome,
        "answer": None if result.answer is None else msgspec.Raw(result.answer),
    }


def _face_fields(result: EventResult, face: FaceRow) -> dict[str, object]:
    match = face.match
    return {
        "id": match.face_id,
        "event_uuid": result.event.uuid,
        "event_id": match.event_id,
        "index": face.index,
        "camera_id": match.camera_id,
        "captured_at": match.captured_at,
        "box": match.box,
        "landmarks": face.landmarks,
        "score": match.score,
        "quality": match.quality,
        "model": result.model,
        "crop_key": match.crop_key,
        "user_id": match.user_id,
        "similarity": match.similarity,
        "runner_up_similarity": match.runner_up_similarity,
    }


def _ledger_row(record: asyncpg.Record) -> LedgerRow:
    fields = dict(record)
    answer = fields.pop("answer")
    outcome = Outcome(fields.pop("outcome"))
    return LedgerRow(**fields, outcome=outcome, answer=None if answer is None else answer.encode())


def _face_row(record: asyncpg.Record) -> FaceRow:
    fields = dict(record)
    index, landmarks = fields.pop("index"), tuple(fields.pop("landmarks"))
    match = FaceMatch(face_id=fields.pop("id"), box=tuple(fields.pop("box")), **fields)
    return FaceRow(match=match, index=index, landmarks=landmarks)


def _user_row(record: asyncpg.Record) -> UserRow:
    return UserRow(**dict(record))
