"""What the pipeline made of the published events, read from the main database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

PROCESSED = "SELECT DISTINCT event_uuid FROM events WHERE event_uuid = ANY($1::uuid[])"

# The identity of a face is that of its visit.
SEEN = """
SELECT faces.event_uuid, faces.camera_id, faces.captured_at, faces.box, visits.visit_id,
       visits.similarity,
       coalesce(users.full_name, users.email, users.external_id, users.id::text) AS name
FROM faces
LEFT JOIN visit_faces ON visit_faces.face_id = faces.id
LEFT JOIN visits ON visits.visit_id = visit_faces.visit_id
LEFT JOIN users ON users.id = visits.user_id
WHERE faces.event_uuid = ANY($1::uuid[])
ORDER BY faces.captured_at, faces.index
"""

UNRECORDED = """
SELECT count(*) FROM faces
LEFT JOIN visit_faces ON visit_faces.face_id = faces.id
LEFT JOIN visits ON visits.visit_id = visit_faces.visit_id
WHERE faces.event_uuid = ANY($1::uuid[]) AND faces.decision IS DISTINCT FROM 'unreliable'
  AND coalesce(visits.revision, 0) = 0
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face that was seen.

    Attributes:
        event: `domain.events.ImageEvent.uuid` of its frame.
        camera: the camera's id.
        captured_at: when.
        box: x, y, width, height in pixels.
        name: who it is, by its visit; None when unknown.
        similarity: cosine of the visit's mean embedding and the template; None when unknown.
        visit: the visit; None if the face belongs to none.
    """

    event: UUID
    camera: str
    captured_at: datetime
    box: tuple[float, float, float, float]
    name: str | None
    similarity: float | None
    visit: UUID | None = None


async def unrecorded(connection: asyncpg.Connection, events: Iterable[UUID]) -> int:
    """How many faces of the events belong to no visit that has been announced."""
    count: int = await connection.fetchval(UNRECORDED, list(events))
    return count


async def processed(connection: asyncpg.Connection, events: Iterable[UUID]) -> set[UUID]:
    """Those of the events whose result is in the ledger."""
    return {record["event_uuid"] for record in await connection.fetch(PROCESSED, list(events))}


async def sightings(connection: asyncpg.Connection, events: Iterable[UUID]) -> list[Sighting]:
    """All faces of the events, in the order of time."""
    return [
        Sighting(
            event=record["event_uuid"],
            camera=record["camera_id"],
            captured_at=record["captured_at"],
            box=tuple(record["box"]),
            name=record["name"],
            similarity=record["similarity"],
            visit=record["visit_id"],
        )
        for record in await connection.fetch(SEEN, list(events))
    ]


def summary(seen: Sequence[Sighting]) -> list[dict[str, object]]:
    """One row for each visit, by person and time, unknowns last.

    The rows have the keys of `infra.terminal.tables.SEEN_COLUMNS`.
    """
    visits: dict[UUID, list[Sighting]] = {}
    for sighting in seen:
        if sighting.visit is not None:
            visits.setdefault(sighting.visit, []).append(sighting)
    rows: list[dict[str, object]] = [
        {
            "name": members[0].name,
            "camera_id": members[0].camera,
            "first_seen": min(member.captured_at for member in members),
            "last_seen": max(member.captured_at for member in members),
            "faces": len(members),
            "similarity": best_similarity(members),
        }
        for members in visits.values()
    ]
    return sorted(rows, key=_place)


def _place(row: dict[str, object]) -> tuple[object, ...]:
    return row["name"] is None, row["name"] or "", row["first_seen"], row["camera_id"]


def best_similarity(seen: Iterable[Sighting]) -> float | None:
    """The highest similarity; None when there is none."""
    return max(
        (sighting.similarity for sighting in seen if sighting.similarity is not None), default=None
    )
