"""The ledger: which events have a result, and the only place that writes one.

Its primary key decides which result of an event counts; the faces of a result are written in the
same statement or not at all. A claim keeps other workers from working on the same events between
the look and the commit, so that the first result wins whole: rows, crops and embeddings.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.decisions.corrections import who_is_left
from domain.events import EventKind
from domain.store_rows import KIND_NAMES, EventKey, EventResult, FaceRow, LedgerRow, Outcome
from sinks.main.best_faces import best_faces, forget_best_crops
from sinks.main.snapshots import snapshot_statements
from sinks.postgres.driver_errors import typed_failures
from sinks.postgres.keepalive import Heartbeat

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

LEDGER_COLUMNS = """event_uuid, model, kind, source, id, key, captured_at, width, height,
    face_count, outcome, answer::text AS answer, announced_at, processed_at, seen_at"""

# The reconciler takes the same lock exclusively: then no claim is open, so no data in the stores
# without a row is about to get one.
CLAIMS_LOCK = 0x66656361_776F726B

# A function of the database (migration 0022): the locks of the transaction, then the look, then the
# users, and those that they were merged into. A wait for a lock ends with an error before the
# connection seems dead.
CLAIM = f"""
SELECT {LEDGER_COLUMNS}, present, merged
FROM claim_events_and_users($1, $2, $3, $4, $5), LATERAL (SELECT (found).*) AS event
"""  # noqa: S608 - made of constants

# One statement, so one transaction and one round trip. An upload that failed has no final result,
# nor a refusal that is no longer valid: the new result replaces the row. The join with `fresh`
# gives faces only to events without a result; the joins with `present` make the face of a user who
# was deleted in the meantime unknown, forget a candidate who was, and hold the others. A face can
# exist already when its event was pruned from the ledger; a photo that was taken out counts again
# when it is enrolled again. A best face counts if it is of the same track, and is in this batch or
# was stored before; one whose row has no crop of its own names another one. A face without a best
# face names itself. The outer look finds the best faces that were stored before this statement.
COMMIT = """
WITH present AS (
    SELECT id FROM users WHERE id = ANY($5::uuid[]) ORDER BY id FOR KEY SHARE
), fresh AS (
    INSERT INTO events (event_uuid, model, kind, source, id, key, captured_at, width, height,
                        face_count, outcome, answer, seen_at, people, dataref)
    SELECT event_uuid, model, kind, source, id, key, captured_at, width, height,
           face_count, outcome, answer, seen_at, people, dataref
    FROM json_to_recordset($1::json) AS result (
        event_uuid uuid, model text, kind text, source text, id text, key text,
        captured_at timestamptz, width integer, height integer, face_count integer,
        outcome text, answer jsonb, seen_at timestamptz, people uuid[], dataref text)
    ON CONFLICT (event_uuid, model) DO UPDATE
    SET captured_at = excluded.captured_at, width = excluded.width, height = excluded.height,
        face_count = excluded.face_count, outcome = excluded.outcome, answer = excluded.answer,
        seen_at = excluded.seen_at, people = excluded.people, dataref = excluded.dataref,
        announced_at = NULL, processed_at = now()
    WHERE events.outcome = 'failed' OR (
        events.outcome = 'refused' AND (events.event_uuid, events.model) IN (
            SELECT * FROM unnest($3::uuid[], $4::text[])))
    RETURNING event_uuid, model
), stored AS (
    INSERT INTO faces (id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks,
                       score, quality, model, crop_key, user_id, similarity, runner_up_similarity,
                       seen_at, decision, kind, track_id, liveness, candidate_id,
                       best_face_id)
    SELECT face.id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks,
           score, quality, model, crop_key, present.id, similarity, runner_up_similarity, seen_at,
           decision, kind, track_id, liveness, candidate.id,
           CASE WHEN best_face_id IS NULL OR best_is_here THEN best_face_id ELSE COALESCE((
               SELECT COALESCE(best.best_face_id, best.id) FROM faces AS best
               WHERE best.id = face.best_face_id
                 AND best.track_id IS NOT DISTINCT FROM face.track_id), face.id) END
    FROM json_to_recordset($2::json) AS face (
        id uuid, event_uuid uuid, event_id text, index integer, camera_id text,
        captured_at timestamptz, box float8[], landmarks float8[], score float8, quality float8,
        model text, crop_key text, user_id uuid, similarity float8, runner_up_similarity float8,
        seen_at timestamptz, decision text, kind text, track_id uuid, liveness jsonb,
        candidate_id uuid, best_face_id uuid, best_is_here boolean)
    JOIN fresh USING (event_uuid, model)
    LEFT JOIN present ON present.id = face.user_id
    LEFT JOIN present AS candidate ON candidate.id = face.candidate_id
    ON CONFLICT (id) DO UPDATE
    SET kind = excluded.kind, user_id = excluded.user_id, crop_key = excluded.crop_key,
        correction_id = NULL
    WHERE faces.kind = 'removed' AND excluded.kind = 'enrolled'
    RETURNING id, event_uuid, model, best_face_id
)
SELECT fresh.event_uuid, fresh.model, stored.id AS face_id, stored.best_face_id,
       best.id IS NOT NULL AS is_known, best.crop_key
FROM fresh
LEFT JOIN stored ON stored.event_uuid = fresh.event_uuid AND stored.model = fresh.model
                AND stored.best_face_id IS NOT NULL
LEFT JOIN faces AS best ON best.id = stored.best_face_id
"""

# Waiting could deadlock with an erasure that waits for the users of this claim.
HOLD_USERS = """
SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE SKIP LOCKED
"""

HOLD_FACE = "SELECT FROM faces WHERE id = $1 FOR NO KEY UPDATE"

_OUTCOMES = {outcome.value: outcome for outcome in Outcome}

#: Faces without a crop of their own, and the key of the crop that stands for each, if any.
CropKeys: TypeAlias = Mapping[UUID, str | None]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Claim:
    """Results that one worker holds; made by `sinks.main.main_store.Records.claim`.

    Attributes:
        existing: the ledger's row of each existing result, except failed uploads and refusals that
            are no longer valid. A frame has one result: its row may be that of another model.
        users: which of the users that were asked for exist; they cannot be erased before the claim
            ends. Erasures and merges wait until then.
        merged: of those who were merged into another one, the user who is left: results name that
            one, whom ``users`` contains, too.
    """

    existing: Mapping[EventKey, LedgerRow]
    users: frozenset[UUID]
    merged: Mapping[UUID, UUID]
    _outdated: Collection[EventKey]
    _connection: "Session"
    _heartbeat: Heartbeat
    _store: str

    async def hold(self, users: Collection[UUID]) -> frozenset[UUID]:
        """Hold further users, so that the results may name them.

        Returns:
            Those of them that exist and that no client is about to erase.
        """
        more = set(users) - self.users
        if not more:
            return frozenset(users)
        async with self._heartbeat.free:
            records = await self._connection.fetch(HOLD_USERS, list(more))
        return frozenset(record["id"] for record in records) | (self.users & set(users))

    async def hold_face(self, face_id: UUID) -> None:
        """Keep a face as it is until the claim ends; without a row, nothing is kept.

        Who has the vector database follow a correction waits: of a photo that was taken out, and is
        enrolled again, it would set the template aside after it was added, and before the commit.
        """
        async with self._heartbeat.free:
            await self._connection.execute(HOLD_FACE, face_id)

    async def forget_crops(self, face_ids: Collection[UUID]) -> list[str]:
        """Take the crops out of the rows of these faces, or of their best faces.

        The snapshots that show them are forgotten, too.

        Args:
            face_ids: faces; some may have no row.

        Returns:
            The keys of the crops and snapshots. Delete these before the claim ends.
        """
        if not face_ids:
            return []
        async with self._heartbeat.free:
            crops = await forget_best_crops(self._connection, face_ids)
            shown = await snapshot_statements.showing_faces(self._connection, face_ids)
            return crops + await snapshot_statements.forget(self._connection, shown)

    async def commit(self, results: Sequence[EventResult]) -> dict[EventKey, CropKeys]:
        """Write results: of each event and model the first wins, whole.

        They are durable when the claim ends. Repetitions, in the batch or of existing results,
        change nothing.

        Args:
            results: what the events came to.

        Returns:
            For each result that was written now, those of its faces that have no crop of their
            own, with the key of the crop that stands for each.
        """
        firsts: dict[EventKey, EventResult] = {}
        for result in results:
            firsts.setdefault(result.key, result)
        if not firsts:
            return {}
        # Two workers that write the same events in the same order cannot deadlock.
        ordered = [firsts[key] for key in sorted(firsts)]
        with typed_failures(self._store, "commit results"):  # a text may hold what JSON cannot
            events = _encode([_event_fields(result) for result in ordered]).decode()
            best = best_faces(ordered)
            rows = [(one, face) for one in ordered for face in one.faces]
            here = {face.match.face_id for _, face in rows}
            faces = _encode(
                [
                    _face_fields(one, face) | _best_fields(best.get(face.match.face_id), here)
                    for one, face in rows
                ]
            )
        matches = [face.match for one in ordered for face in one.faces]
        named = {one for match in matches for one in (match.user_id, match.candidate_id)}
        async with self._heartbeat.free:
            records = await self._connection.fetch(
                COMMIT,
                events,
                faces.decode(),
                [key.event_uuid for key in self._outdated],
                [key.model for key in self._outdated],
                [user_id for user_id in named if user_id is not None],
            )
            written = _written(records, ordered)
            kept = [one for one in ordered if one.key in written]
            await snapshot_statements.keep(self._connection, kept)
        return written


def always(_row: LedgerRow) -> bool:
    """Every refusal is valid."""
    return True


async def open_claim(  # noqa: PLR0913 - what a claim is made of
    connection: "Session",
    keys: Collection[tuple[UUID, str]],
    users: Collection[UUID],
    *,
    lock_seconds: float,
    heartbeat: Heartbeat,
    store: str,
    is_final: Callable[[LedgerRow], bool],
) -> Claim:
    """Take the locks of these results in the connection's transaction, then look them up.

    Args:
        connection: of the transaction.
        keys: event UUID and model of each result.
        users: whom the results may name.
        lock_seconds: how long to wait for each lock.
        heartbeat: keeps the transaction open, once it has begun.
        store: what error messages call the database.
        is_final: whether a refusal is still valid; called for rows with that outcome.
    """
    records = await connection.fetch(
        CLAIM,
        [uuid for uuid, _ in keys],
        [model for _, model in keys],
        list(users),
        CLAIMS_LOCK,
        f"{max(1, round(lock_seconds * 1000))}ms",
    )
    found = [ledger_row(record) for record in records if record["present"] is None]
    of_frames = {row.event_uuid: row for row in found if row.kind == KIND_NAMES[EventKind.FRAME]}
    rows = {EventKey(*key): of_frames[key[0]] for key in keys if key[0] in of_frames} | {
        row.event_key: row for row in found
    }
    into = {one["present"]: one["merged"] for one in records if one["present"] is not None}
    outdated = {
        key for key, row in rows.items() if row.outcome is Outcome.REFUSED and not is_final(row)
    }
    existing = {
        key: row
        for key, row in rows.items()
        if row.outcome is not Outcome.FAILED and key not in outdated
    }
    return Claim(
        existing,
        frozenset(into),
        who_is_left(into),
        outdated,
        connection,
        heartbeat,
        store,
    )


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
        "seen_at": event.seen_at,
        "width": result.width,
        "height": result.height,
        "face_count": result.face_count,
        "outcome": result.outcome,
        "answer": None if result.answer is None else msgspec.Raw(result.answer),
        "people": None if event.kind is EventKind.FRAME else sorted(result.people),
        "dataref": result.dataref,
    }


def _written(
    records: Sequence[asyncpg.Record], results: Sequence[EventResult]
) -> dict[EventKey, CropKeys]:
    """What a commit has written; a best face without a row before it may be one of its own."""
    own = {face.match.face_id: face.match.crop_key for one in results for face in one.faces}
    written: dict[EventKey, dict[UUID, str | None]] = {}
    for record in records:
        crop_keys = written.setdefault(EventKey(record["event_uuid"], record["model"]), {})
        if record["face_id"] is not None:
            best, known = record["best_face_id"], record["is_known"]
            crop_keys[record["face_id"]] = record["crop_key"] if known else own.get(best)
    return dict(written)


def _best_fields(best: UUID | None, here: Collection[UUID]) -> dict[str, object]:
    return {"best_face_id": best, "best_is_here": best in here}


def _face_fields(result: EventResult, face: FaceRow) -> dict[str, object]:
    match = face.match
    return {
        "id": match.face_id,
        "event_uuid": result.event.uuid,
        "event_id": match.event_id,
        "index": face.index,
        "camera_id": match.camera_id,
        "captured_at": match.captured_at,
        "seen_at": match.seen_at,
        "box": match.box,
        "landmarks": face.landmarks,
        "score": match.score,
        "quality": match.quality,
        "model": result.model,
        "crop_key": None if face.best_face_id else match.crop_key,
        "user_id": match.user_id,
        "similarity": match.similarity,
        "runner_up_similarity": match.runner_up_similarity,
        "decision": match.decision,
        "kind": match.kind,
        "track_id": match.track_id,
        "liveness": match.liveness or None,
        "candidate_id": match.candidate_id,
    }


def ledger_row(record: asyncpg.Record) -> LedgerRow:
    """A row with `LEDGER_COLUMNS` as its type."""
    fields = dict(record)
    for name in ("present", "merged"):
        fields.pop(name, None)
    answer = fields.pop("answer")
    outcome = _OUTCOMES.get(fields.pop("outcome"), Outcome.OTHER)
    return LedgerRow(**fields, outcome=outcome, answer=None if answer is None else answer.encode())
