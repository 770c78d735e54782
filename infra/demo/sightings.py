"""What the pipeline made of the published events, read from the main database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

PROCESSED = "SELECT DISTINCT event_uuid FROM events WHERE event_uuid = ANY($1::uuid[])"

SEEN = """
SELECT faces.event_uuid, faces.camera_id, faces.captured_at, faces.box, faces.similarity,
       coalesce(users.full_name, users.email) AS name
FROM faces LEFT JOIN users ON users.id = faces.user_id
WHERE faces.event_uuid = ANY($1::uuid[])
ORDER BY faces.captured_at, faces.index
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face that was seen.

    Attributes:
        event: `domain.events.ImageEvent.uuid` of its frame.
        camera: the camera's id.
        captured_at: when.
        box: x, y, width, height in pixels.
        name: who it is; None when unknown.
        similarity: cosine to the best candidate; None with an empty gallery.
    """

    event: UUID
    camera: str
    captured_at: datetime
    box: tuple[float, float, float, float]
    name: str | None
    similarity: float | None


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
        )
        for record in await connection.fetch(SEEN, list(events))
    ]


def summary(seen: Sequence[Sighting]) -> list[dict[str, object]]:
    """One row for each person and camera, people by name and unknowns last.

    The rows have the keys of `infra.terminal.tables.SEEN_COLUMNS`.
    """
    groups: dict[tuple[str | None, str], list[Sighting]] = {}
    for sighting in seen:
        groups.setdefault((sighting.name, sighting.camera), []).append(sighting)
    rows: list[dict[str, object]] = []
    for (name, camera), members in sorted(
        groups.items(), key=lambda item: (item[0][0] is None, item[0][0] or "", item[0][1])
    ):
        rows.append(
            {
                "name": name,
                "camera_id": camera,
                "first_seen": min(member.captured_at for member in members),
                "last_seen": max(member.captured_at for member in members),
                "faces": len(members),
                "best_similarity": best_similarity(members),
            }
        )
    return rows


def best_similarity(seen: Iterable[Sighting]) -> float | None:
    """The highest similarity; None when there is none."""
    return max(
        (sighting.similarity for sighting in seen if sighting.similarity is not None), default=None
    )
