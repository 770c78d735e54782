"""The main database for maintenance: pages of rows, repairs, and deletion by age."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.personal_data import Cutoffs, Traces
from domain.store_rows import EventKey
from sinks.main.expiry import overdue
from sinks.main.ledger import CLAIMS_LOCK
from sinks.main.main_store import Records
from sinks.main.snapshots import snapshot_statements
from sinks.postgres.keepalive import Heartbeat
from sinks.store_errors import StoreUnavailable

LOCK_TIMEOUT = "SELECT set_config('lock_timeout', $1, true)"

_LOCK_NOT_AVAILABLE = "55P03"

TAKE_CLAIMS_LOCK = "SELECT pg_advisory_xact_lock($1)"

LOCK_USER = "SELECT is_active FROM users WHERE id = $1 FOR UPDATE"

FACES_PAGE = """
SELECT id, model, crop_key, best_face_id IS NULL FROM faces
WHERE id > $1 AND created_at < $2 ORDER BY id LIMIT $3
"""

CROP_KEYS = "SELECT id, crop_key FROM faces WHERE id = ANY($1::uuid[])"

FORGET_CROPS = """
UPDATE faces SET crop_key = NULL
FROM unnest($1::uuid[], $2::text[]) AS missing (id, crop_key)
WHERE faces.id = missing.id AND faces.crop_key = missing.crop_key
RETURNING 1
"""

NOT_YET_LOST = """
SELECT id FROM unnest($1::uuid[]) AS asked (id)
WHERE NOT EXISTS (SELECT FROM lost_embeddings WHERE face_id = asked.id)
"""

NOTE_LOST = """
INSERT INTO lost_embeddings (face_id) SELECT id FROM faces WHERE id = ANY($1::uuid[])
ON CONFLICT DO NOTHING RETURNING 1
"""

UNANNOUNCED = """
SELECT event_uuid, model, processed_at FROM events
WHERE announced_at IS NULL AND processed_at < $1
  AND ($2::timestamptz IS NULL OR (processed_at, event_uuid) > ($2, $3::uuid))
ORDER BY processed_at, event_uuid LIMIT $4
"""


class StoredFace(NamedTuple):
    """A face's row, as far as it leads into the other stores.

    Attributes:
        id: the face.
        model: id of the embedder.
        crop_key: of its own crop; None where it has none.
        has_embedding: whether it has an embedding of its own.
    """

    id: UUID
    model: str
    crop_key: str | None
    has_embedding: bool


class Unannounced(NamedTuple):
    """An event that may not have been announced."""

    key: EventKey
    processed_at: datetime


class MainMaintenance(Records):
    """`Records`, and what reconciler and retention need in addition."""

    @asynccontextmanager
    async def no_claim_is_open(self, seconds: float) -> AsyncIterator[bool]:
        """While this is held no worker is between writing crops and committing their rows.

        Workers that open a claim wait, at most as long as this waits and is held.

        Args:
            seconds: how long to wait until all open claims end.

        Yields:
            Whether the lock was taken; not when a worker holds its claim for too long.
        """
        async with self._connection("wait for work to end") as connection, connection.transaction():
            await connection.execute(LOCK_TIMEOUT, f"{int(seconds * 1000)}ms")
            try:
                async with connection.transaction():
                    await connection.execute(TAKE_CLAIMS_LOCK, CLAIMS_LOCK)
            except StoreUnavailable as failure:
                if failure.state != _LOCK_NOT_AVAILABLE:
                    raise
                locked = False
            else:
                locked = True
            if locked:
                async with Heartbeat(connection, self._settings.idle_transaction_timeout):
                    yield True
            else:
                yield False

    @asynccontextmanager
    async def held_user(self, user_id: UUID) -> AsyncIterator[bool | None]:
        """While this is held, no other process changes or erases a user.

        Yields:
            Whether the user is active; None where there is no such user.
        """
        async with self._connection("hold a user") as connection, connection.transaction():
            yield await connection.fetchval(LOCK_USER, user_id)

    async def faces_after(self, last: UUID, before: datetime, limit: int) -> list[StoredFace]:
        """The next faces by id that were stored before a moment."""
        async with self._connection("page through faces") as connection:
            records = await connection.fetch(FACES_PAGE, last, before, limit)
        return [StoredFace(*record) for record in records]

    async def crop_keys(self, face_ids: Collection[UUID]) -> dict[UUID, str | None]:
        """Those of these faces that have a row, with the key of each one's crop."""
        async with self._connection("look for faces") as connection:
            records = await connection.fetch(CROP_KEYS, list(face_ids))
        return {record["id"]: record["crop_key"] for record in records}

    async def forget_crops(self, faces: Sequence[StoredFace]) -> int:
        """Take the keys of crops that are not there out of these rows; returns how many."""
        async with self._connection("forget lost crops") as connection:
            changed = await connection.fetch(
                FORGET_CROPS, [face.id for face in faces], [face.crop_key for face in faces]
            )
        return len(changed)

    async def not_yet_lost(self, face_ids: Collection[UUID]) -> set[UUID]:
        """Those of these faces whose embedding was not noted as lost before."""
        async with self._connection("look for lost embeddings") as connection:
            records = await connection.fetch(NOT_YET_LOST, list(face_ids))
        return {record["id"] for record in records}

    async def note_lost(self, face_ids: Collection[UUID]) -> int:
        """Note that the embeddings of these faces are lost; returns how many were noted now."""
        async with self._connection("note lost embeddings") as connection:
            return len(await connection.fetch(NOTE_LOST, list(face_ids)))

    async def snapshots_after(
        self, last: UUID, before: datetime, limit: int
    ) -> list[tuple[UUID, str]]:
        """The next snapshots by frame that were stored before a moment, with their keys."""
        async with self._connection("page through snapshots") as connection:
            records = await connection.fetch(snapshot_statements.PAGE, last, before, limit)
        return [(record["event_uuid"], record["key"]) for record in records]

    async def snapshot_keys(self, event_uuids: Collection[UUID]) -> dict[UUID, str]:
        """Those of these frames that have a snapshot, with the key of each one's."""
        async with self._connection("look for snapshots") as connection:
            records = await connection.fetch(snapshot_statements.KEYS, list(event_uuids))
        return {record["event_uuid"]: record["key"] for record in records}

    async def forget_snapshots(self, event_uuids: Collection[UUID]) -> list[str]:
        """Delete the rows of snapshots; the keys of their pictures, which are to be deleted."""
        async with self._connection("forget snapshots") as connection:
            return await snapshot_statements.forget(connection, event_uuids)

    async def unannounced(
        self, before: datetime, last: Unannounced | None, limit: int
    ) -> list[Unannounced]:
        """The next events, in the order they were processed, that may not have been announced."""
        after = (None, None) if last is None else (last.processed_at, last.key.event_uuid)
        async with self._connection("look for unannounced events") as connection:
            records = await connection.fetch(UNANNOUNCED, before, *after, limit)
        return [
            Unannounced(EventKey(row["event_uuid"], row["model"]), row["processed_at"])
            for row in records
        ]

    async def overdue(self, before: Cutoffs) -> Traces:
        """How much `expire` would delete in all."""
        async with self._connection("count what is too old") as connection:
            return await overdue(connection, before)
