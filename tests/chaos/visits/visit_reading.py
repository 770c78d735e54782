"""Reads what the tables and the topics have about visits, without the stores of the product."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from aiokafka import ConsumerRecord

from agents.processes.follow_process import visit_policy
from config.settings import Settings
from domain.decisions.matching import Candidate, Decision, decide
from domain.decisions.visits.stays import Lookup
from domain.store_rows import Embedding
from domain.visit_events import Visit, VisitState
from ml.runtime.model_registry import match_policy
from streams.contract.topics import Topics
from streams.contract.visit_codec import face_of, read_match, visit_from_json
from tests.chaos.evidence import message_digest, open_database, read_topic
from tests.chaos.visits.visit_evidence import (
    Announcement,
    LoggedFace,
    VisitEvidence,
    VisitMember,
)

_ROWS = """
SELECT visit_id, camera_id, revision, state, user_id, unknown_id, similarity, started_at,
       last_seen_at, ended_at, faces, late, best_face_id, reason, continues
FROM visits
"""

# Of whom a person has said who they are.
_CORRECTED = """
SELECT visit_id FROM corrected_visits
UNION
SELECT visit_id FROM unknown_members JOIN unknowns ON unknowns.id = unknown_id
WHERE unknowns.state = 'promoted'
"""


async def collect_visits(settings: Settings, topics: Topics) -> VisitEvidence:
    """Everything about visits at present."""
    faces = [
        face
        async for record in read_topic(settings, topics.matches)
        if (face := _logged_face(record)) is not None
    ]
    announcements = [_announcement(one) async for one in read_topic(settings, topics.visits)]
    async with open_database(settings.main_db.dsn) as main:
        rows = await main.fetch(_ROWS)
        members = await main.fetch("SELECT face_id, visit_id, camera_id, late FROM visit_faces")
        unsent = await main.fetch("SELECT visit_id, revision FROM visit_messages")
        corrected = await main.fetch(_CORRECTED)
    return VisitEvidence(
        faces=faces,
        rows=[_row(row) for row in rows],
        members=[VisitMember(*row) for row in members],
        announcements=announcements,
        unsent=[f"{row['visit_id']}/{row['revision']}" for row in unsent],
        lookup=await _lookup(settings, {one.face.face_id for one in faces if one.face.fresh}),
        policy=visit_policy(settings.visits, settings.liveness, ""),
        corrected=frozenset(row["visit_id"] for row in corrected),
    )


async def unfinished(settings: Settings) -> list[str]:
    """What is not over yet: visits that go on, and messages that were not sent; one line each."""
    async with open_database(settings.main_db.dsn) as main:
        going = await main.fetchval("SELECT count(*) FROM visits WHERE state <> 'ended'")
        unsent = await main.fetchval("SELECT count(*) FROM visit_messages")
    return [f"{going} visits go on"] * bool(going) + [f"{unsent} messages wait"] * bool(unsent)


def _logged_face(record: ConsumerRecord) -> LoggedFace | None:
    match = read_match(record.value)
    face = face_of(match)
    if face is None:
        return None
    return LoggedFace(match.camera_id, face, datetime.fromtimestamp(record.timestamp / 1000, UTC))


def _announcement(record: ConsumerRecord) -> Announcement:
    headers = {name: value.decode() for name, value in record.headers}
    return Announcement(
        id=headers["ce_id"],
        type=headers["ce_type"],
        key=(record.key or b"").decode(),
        visit=visit_from_json(record.value),
        digest=message_digest(record.key, record.value, record.headers),
    )


def _row(row: Any) -> Visit:
    fields = dict(row)
    return Visit(**(fields | {"state": VisitState(fields["state"])}))


async def _lookup(settings: Settings, faces: Collection[UUID]) -> Lookup:
    """The embeddings of these faces, and decisions by the gallery as it is now."""
    async with open_database(settings.vector_db.dsn) as vector:
        embeddings = await vector.fetch(
            "SELECT face_id, embedding::text FROM face_embeddings"
            " WHERE kind = 'sighting' AND face_id = ANY($1::uuid[])",
            list(faces),
        )
        templates = await vector.fetch(
            "SELECT model, user_id, embedding::text FROM gallery WHERE embedding IS NOT NULL"
        )

    def decided(model: str, probe: Embedding) -> Decision:
        candidates = [
            Candidate(row["user_id"], float(_unit(_vector(row["embedding"])) @ probe))
            for row in templates
            if row["model"] == model
        ]
        return decide(candidates, match_policy(model, settings.models))

    return Lookup({row["face_id"]: _vector(row["embedding"]) for row in embeddings}, decided)


def _vector(text: str) -> Embedding:
    return np.array(text.strip("[]").split(","), np.float32)


def _unit(vector: Embedding) -> Embedding:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
