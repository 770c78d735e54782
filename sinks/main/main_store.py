"""The main database: the ledger of events, the faces, the people.

`Records.claim` leads to the commit point of the pipeline; see `sinks.main.ledger`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import UNSET

from config.settings import DatabaseSettings
from domain.events import FaceMatch, standing_decision
from domain.personal_data import Cutoffs, DataSubject, PersonalData, Traces
from domain.store_rows import FaceRow, LedgerRow, UserRow
from sinks.main.expiry import expire
from sinks.main.ledger import LEDGER_COLUMNS, Claim, always, ledger_row, open_claim
from sinks.main.liveness_column import from_text
from sinks.main.models.enrolled_faces import EnrolledFaces
from sinks.main.models.shadow_counts import ShadowCounts
from sinks.main.snapshots import snapshot_statements
from sinks.main.user_erasure import (
    ERASED_PLACES,
    FORGOTTEN_AT_ONCE,
    KEPT_PLACES,
    delete_unless_used,
    fill_event_users,
    forget_candidates,
    look,
    take_out,
)
from sinks.main.withdrawn_photos import WithdrawnPhotos
from sinks.postgres.keepalive import Heartbeat

FACE_COLUMNS = """face.id, face.event_id, face.index, face.camera_id, face.captured_at, face.box,
    face.landmarks, face.score, face.quality, face.model,
    COALESCE(face.crop_key, best.crop_key) AS crop_key, face.user_id, face.similarity,
    face.runner_up_similarity, face.seen_at, face.decision, face.kind, face.track_id,
    face.best_face_id, face.liveness::text AS liveness, face.candidate_id"""

# A face that was followed from an earlier frame is shown by the best crop of its track.
FACES_AND_BEST = "faces AS face LEFT JOIN faces AS best ON best.id = face.best_face_id"

#: The share of a statement's time for which a claim waits for another.
_LOCK_SHARE = 0.7

_FILLED_AT_ONCE = 1000

_USER_COLUMNS = "id, email, full_name, external_id, is_active, created_at, updated_at"

MARK_ANNOUNCED = """
UPDATE events SET announced_at = now()
FROM unnest($1::uuid[], $2::text[]) AS announced (event_uuid, model)
WHERE events.event_uuid = announced.event_uuid AND events.model = announced.model
  AND announced_at IS NULL
"""

# Of a photo that several models have looked at, the model in force counts, else the last look.
UPLOAD = f"""
SELECT {LEDGER_COLUMNS} FROM events WHERE event_uuid = $1
ORDER BY model IS NOT DISTINCT FROM $2::text DESC, processed_at DESC LIMIT 1
"""  # noqa: S608

UPLOADS = f"""
SELECT {LEDGER_COLUMNS} FROM events WHERE event_uuid = ANY($1::uuid[])
"""  # noqa: S608

# What took the place of one in the meantime, a new failure too, was written at another time.
FORGET_UPLOADS = """
DELETE FROM events
USING unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS known (event_uuid, model, processed_at)
WHERE events.event_uuid = known.event_uuid AND events.model = known.model
  AND events.processed_at = known.processed_at AND events.outcome IN ('failed', 'refused')
"""

FACES_OF_EVENT = f"""
SELECT {FACE_COLUMNS} FROM {FACES_AND_BEST}
WHERE face.event_uuid = $1 AND face.model = $2 ORDER BY face.index
"""  # noqa: S608

RECENT_FACES = f"""
SELECT {FACE_COLUMNS} FROM {FACES_AND_BEST}
WHERE face.kind = 'frame'
  AND ($2::text IS NULL OR face.camera_id = $2)
  AND ($3::uuid IS NULL OR face.user_id = $3)
  AND ($4::timestamptz IS NULL OR COALESCE(face.seen_at, face.captured_at) >= $4)
ORDER BY COALESCE(face.seen_at, face.captured_at) DESC, face.id DESC
LIMIT $1
"""  # noqa: S608

USERS = f"SELECT {_USER_COLUMNS} FROM users WHERE id = ANY($1::uuid[])"  # noqa: S608

# One merge leads to the user who is left; who is left may have been merged into another since.
MERGED_WITH = """
WITH RECURSIVE family AS (
    SELECT $1::uuid AS id, (SELECT merged_into FROM users WHERE id = $1) AS merged_into
    UNION
    SELECT users.id, users.merged_into FROM users JOIN family
        ON users.id = family.merged_into OR users.merged_into = family.id
)
SELECT id, merged_into FROM family ORDER BY id
"""


class Records(EnrolledFaces, ShadowCounts, WithdrawnPhotos, PersonalData):
    """Reads and writes the main database. All methods raise the errors of `sinks.store_errors`."""

    receipt_name = "main"
    erased_places = ERASED_PLACES
    kept_places = KEPT_PLACES

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; `connect` opens it."""
        super().__init__(settings, "main")

    @asynccontextmanager
    async def claim(
        self,
        keys: Iterable[tuple[UUID, str]],
        is_final: Callable[[LedgerRow], bool] = always,
        *,
        users: Collection[UUID] = (),
    ) -> AsyncIterator[Claim]:
        """Hold results for oneself, in a transaction: look, work, `Claim.commit`.

        Another worker that claims one of them waits until this claim ends; so between the lookup
        and the commit no other worker writes crops or embeddings of these events.

        Args:
            keys: event UUID and model of each.
            is_final: whether a refusal in the ledger is still valid; called for each of them.
            users: whom the results may name: `Claim.users` are those of them who exist.

        Raises:
            StoreUnavailable: the database is unavailable, or another worker holds one for too long.
        """
        settings = self._settings
        async with self._connection("claim events") as connection, connection.transaction():
            heartbeat = Heartbeat(connection, settings.idle_transaction_timeout)
            claim = await open_claim(
                connection,
                set(keys),
                users,
                lock_seconds=settings.command_timeout * _LOCK_SHARE,
                heartbeat=heartbeat,
                store=self.store,
                is_final=is_final,
            )
            async with heartbeat:
                yield claim

    async def mark_announced(self, keys: Iterable[tuple[UUID, str]]) -> None:
        """Note that the broker has acknowledged all messages about these events."""
        wanted = sorted(set(keys))
        if not wanted:
            return
        async with self._connection("mark events announced") as connection:
            await connection.execute(
                MARK_ANNOUNCED, [uuid for uuid, _ in wanted], [model for _, model in wanted]
            )

    async def upload(self, event_uuid: UUID, model: str | None = None) -> LedgerRow | None:
        """The ledger's row of an upload; None when it is not there.

        Args:
            event_uuid: the upload.
            model: whose row counts, if it has one; else, and without it, the latest.
        """
        async with self._connection("read an upload") as connection:
            record = await connection.fetchrow(UPLOAD, event_uuid, model)
        return None if record is None else ledger_row(record)

    async def uploads(self, event_uuids: Iterable[UUID]) -> list[LedgerRow]:
        """The ledger's rows of these uploads, of each one for every model that looked at it."""
        async with self._connection("look up uploads") as connection:
            records = await connection.fetch(UPLOADS, list(event_uuids))
        return [ledger_row(record) for record in records]

    async def forget_uploads(self, rows: Sequence[LedgerRow]) -> None:
        """Take failures and refusals out; what has taken the place of one in the meantime stays."""
        if not rows:
            return
        async with self._connection("forget uploads") as connection:
            await connection.execute(
                FORGET_UPLOADS,
                [row.event_uuid for row in rows],
                [row.model for row in rows],
                [row.processed_at for row in rows],
            )

    async def faces_of(self, event_uuid: UUID, model: str) -> list[FaceRow]:
        """The stored faces of one event in their order, to announce them again after a crash."""
        async with self._connection("read the faces of an event") as connection:
            records = await connection.fetch(FACES_OF_EVENT, event_uuid, model)
        return [face_row(record) for record in records]

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
        return [face_row(record) for record in records]

    async def snapshots_of(self, face_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Those of these faces whose frame is kept as a whole, with the S3 key of each one's."""
        asked = list(set(face_ids))
        if not asked:
            return {}
        async with self._connection("look for snapshots") as connection:
            records = await connection.fetch(snapshot_statements.OF_FACES, asked)
        return {record["id"]: record["key"] for record in records}

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

    async def merged_with(self, user_id: UUID) -> list[UUID]:
        """All users of whom a person has said that they are this one, and this one.

        Who is left comes first, and before each user the one whom it was merged into: the row of
        a user who was merged stays until that one is gone (`sinks.main.user_erasure.take_out`).
        """
        async with self._connection("look for merged users") as connection:
            records = await connection.fetch(MERGED_WITH, user_id)
        into = {record["id"]: record["merged_into"] for record in records}
        ordered: list[UUID] = []
        while left := into.keys() - set(ordered):
            ordered += sorted(one for one in left if into[one] not in left) or sorted(left)
        return ordered

    async def traces(self, user: DataSubject) -> Traces:
        """What this database holds of a user, and what it knows about data in other stores."""
        while await self.fill_event_users(_FILLED_AT_ONCE):
            pass  # after the first time, only rows of older workers are left
        async with self._connection("look for a person") as connection, connection.transaction():
            return await look(connection, user.id)

    async def fill_event_users(self, limit: int) -> int:
        """Have lines of the ledger that an older release wrote say whom they name.

        Args:
            limit: at most so many.

        Returns:
            How many there were.
        """
        async with self._connection("note whom answers name") as connection:
            return await fill_event_users(connection, limit)

    async def erase(self, user: DataSubject) -> Traces:
        """Take a person out; see `sinks.main.user_erasure.take_out`."""
        # In parts before the transaction: every unknown face of a small gallery may name the user.
        forgotten = latest = await self._forget_candidates(user.id)
        while latest == FORGOTTEN_AT_ONCE:
            latest = await self._forget_candidates(user.id)
            forgotten += latest
        async with self._connection("erase a person") as connection, connection.transaction():
            return await take_out(connection, user, forgotten)

    async def _forget_candidates(self, user_id: UUID) -> int:
        async with self._connection("forget candidates") as connection:
            return await forget_candidates(connection, user_id)

    async def erase_untouched_user(self, user: DataSubject, entries: int) -> bool:
        """Take a person out unless others had to do with them; see `delete_unless_used`."""
        async with self._connection("erase a person") as connection, connection.transaction():
            return await delete_unless_used(connection, user, entries)

    async def expire(self, before: Cutoffs) -> Traces:
        """Delete the oldest sightings and lines of the ledger that are too old, up to a limit."""
        async with self._connection("delete what is too old") as connection:
            return await expire(connection, before)


def face_row(record: "asyncpg.Record | Mapping[str, Any]") -> FaceRow:
    """A row with `FACE_COLUMNS` as its type."""
    fields = dict(record)
    index, landmarks = fields.pop("index"), tuple(fields.pop("landmarks"))
    best_face_id = fields.pop("best_face_id")
    match = FaceMatch(
        face_id=fields.pop("id"),
        box=tuple(fields.pop("box")),
        decision=standing_decision(fields.pop("decision"), fields["user_id"]),
        fresh=best_face_id is None,
        liveness=from_text(fields.pop("liveness")) or UNSET,
        **fields,
    )
    return FaceRow(match=match, index=index, landmarks=landmarks, best_face_id=best_face_id)


def _user_row(record: asyncpg.Record) -> UserRow:
    return UserRow(**dict(record))
