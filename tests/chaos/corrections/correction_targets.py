"""What the actor corrects: read past the proxies, from the tables as they are now."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from config.settings import Settings
from tests.chaos.evidence import open_database

# Nothing that comes later changes the faces of these visits: by the camera's own time they are over
# for longer than the rules of the run let one return, and a frame be late.
_SETTLED = """
SELECT visit.visit_id, visit.user_id FROM visits AS visit JOIN visit_cameras AS camera
    USING (camera_id)
WHERE visit.state = 'ended' AND visit.revision > 0 AND visit.reason IS DISTINCT FROM 'merged'
  AND ($2 OR visit.last_seen_at < camera.clock - interval '8 seconds')
  AND (visit.user_id IS NULL OR visit.user_id = ANY($1::uuid[]))
"""

VISITS = f"{_SETTLED} ORDER BY visit.started_at"

FACES = f"""
SELECT face.id AS face_id, face.user_id FROM faces AS face
JOIN visit_faces AS part ON part.face_id = face.id
WHERE NOT part.late AND part.visit_id IN (SELECT visit_id FROM ({_SETTLED}) AS settled)
  AND (face.user_id IS NULL OR face.user_id = ANY($1::uuid[]))
ORDER BY face.captured_at
"""  # noqa: S608

PHOTOS = """
SELECT id AS face_id, user_id FROM faces
WHERE id = ANY($1::uuid[]) AND kind = 'enrolled' ORDER BY id
"""

UNKNOWNS = f"""
SELECT id FROM unknowns AS unknown
WHERE state = 'open' AND visits > 0 AND NOT EXISTS (
    SELECT FROM unknown_members WHERE unknown_id = unknown.id
    AND visit_id NOT IN (SELECT visit_id FROM ({_SETTLED}) AS settled))
ORDER BY visits DESC, id LIMIT 1
"""  # noqa: S608

MADE = "SELECT EXISTS (SELECT FROM corrections WHERE id = $1 OR undoes = $2)"


class Targets:
    """Reads what can be corrected. Its errors are those of a database that is not there."""

    def __init__(self, settings: Settings, users: Collection[UUID], photos: Collection[UUID]):
        """Read from the servers of ``settings``.

        Args:
            settings: past the proxies.
            users: who is corrected.
            photos: their photos.
        """
        self._dsn = settings.main_db.dsn
        self._users = list(users)
        self._photos = list(photos)

    async def visits(self, *, over: bool) -> list[tuple[UUID, UUID | None]]:
        """Visits that are unknown, or of one of the users; with the user.

        Args:
            over: no more faces come, so every visit that has ended is over.
        """
        rows = await self._fetch(VISITS, self._users, over)
        return [(row["visit_id"], row["user_id"]) for row in rows]

    async def faces(self, *, over: bool) -> list[tuple[UUID, UUID | None]]:
        """The faces of such visits, with the user."""
        rows = await self._fetch(FACES, self._users, over)
        return [(row["face_id"], row["user_id"]) for row in rows]

    async def photos(self) -> list[tuple[UUID, UUID]]:
        """The photos that count, with the user."""
        rows = await self._fetch(PHOTOS, self._photos)
        return [(row["face_id"], row["user_id"]) for row in rows]

    async def unknown(self, *, over: bool) -> UUID | None:
        """The unknown with most visits, of those whose visits are all over."""
        rows = await self._fetch(UNKNOWNS, self._users, over)
        return rows[0]["id"] if rows else None

    async def is_made(self, correction_id: UUID | None, undoes: UUID | None) -> bool:
        """Whether there is a correction with this id, or an undo of this one."""
        (row,) = await self._fetch(MADE, correction_id, undoes)
        return bool(row["exists"])

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        async with open_database(self._dsn) as connection:
            found: list[Any] = await connection.fetch(statement, *values)
        return found
