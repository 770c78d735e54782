"""What is left to do for corrections: the vector database follows, and faces are announced.

It follows from the rows as they are now, not from what a correction has said, so it may be done
again and in any order.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from msgspec import structs

from config.settings import DatabaseSettings
from domain.events import FaceMatch, match_name
from sinks.main.main_store import FACE_COLUMNS, FACES_AND_BEST, face_row
from sinks.postgres.keepalive import Heartbeat
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

#: Faces that are read at once.
PAGE = 2000

NEXT = "SELECT correction_id FROM correction_work ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"

DONE = "DELETE FROM correction_work WHERE correction_id = $1"

USERS = """
SELECT id, is_active FROM users WHERE id IN (
    SELECT unnest(ARRAY[user_id, other_user_id]) FROM corrections WHERE id = $1)
ORDER BY id FOR KEY SHARE
"""

# Held while the vector database is written, so that two corrections of a face cannot be applied in
# the opposite order.
OWNERS = """
SELECT face.id AS face_id, face.user_id, face.kind, face.camera_id, face.similarity,
       face.runner_up_similarity, face.decision, face.candidate_id, face.correction_id
FROM corrected_faces AS corrected JOIN faces AS face ON face.id = corrected.face_id
WHERE corrected.correction_id = $1 AND face.id > $2
ORDER BY face.id LIMIT $3 FOR NO KEY UPDATE OF face
"""

# What was announced of a face before: of a merge or a promotion only the users are.
_LAST_ANNOUNCED = """(
    WITH RECURSIVE said AS (
        SELECT corrected.before AS id
        UNION ALL
        SELECT kept.before FROM said JOIN corrections AS other ON other.id = said.id
        LEFT JOIN corrections AS taken_back ON taken_back.id = other.undoes
        JOIN corrected_faces AS kept ON kept.correction_id = said.id AND kept.face_id = face.id
        WHERE COALESCE(taken_back.kind, other.kind) NOT IN ('not_user', 'is_user')
    )
    SELECT said.id FROM said LEFT JOIN corrections AS other ON other.id = said.id
    LEFT JOIN corrections AS taken_back ON taken_back.id = other.undoes
    WHERE COALESCE(taken_back.kind, other.kind, 'is_user') IN ('not_user', 'is_user') LIMIT 1
)"""

# A face that was corrected again has another message.
TOLD = f"""
SELECT {FACE_COLUMNS}, {_LAST_ANNOUNCED} AS before FROM {FACES_AND_BEST}
JOIN corrected_faces AS corrected ON corrected.face_id = face.id
JOIN corrections AS one ON one.id = corrected.correction_id
LEFT JOIN corrections AS undone ON undone.id = one.undoes
WHERE corrected.correction_id = $1 AND face.correction_id = $1 AND face.kind = 'frame'
  AND COALESCE(undone.kind, one.kind) IN ('not_user', 'is_user') AND face.id > $2
ORDER BY face.id LIMIT $3
"""  # noqa: S608 - made of constants

# Nearly always there are no messages at all.
ORPHANED_CAMERAS = """
SELECT DISTINCT camera_id FROM visit_messages AS message
WHERE NOT EXISTS (SELECT FROM visit_cameras WHERE camera_id = message.camera_id)
ORDER BY camera_id
"""

_FIRST = UUID(int=0)


class Owner(NamedTuple):
    """Whose a face is now.

    Attributes:
        face_id: the face.
        user_id: the user; None: an unknown's.
        kind: `domain.events.MatchKind`.
        camera_id: where it was seen.
        similarity: as stored, like what follows.
        runner_up_similarity: as stored.
        decision: what decided.
        candidate_id: of an unknown's face, whom it is most like.
        correction_id: the last correction of this face.
    """

    face_id: UUID
    user_id: UUID | None
    kind: str
    camera_id: str
    similarity: float | None
    runner_up_similarity: float | None
    decision: str | None
    candidate_id: UUID | None
    correction_id: UUID | None


class Standing(NamedTuple):
    """Whether a user is to be recognised."""

    user_id: UUID
    is_active: bool


class HeldCorrection:
    """A correction whose faces and users do not change while it is held."""

    def __init__(self, connection: "Session", correction_id: UUID, heartbeat: Heartbeat) -> None:
        self.id = correction_id
        self._connection = connection
        self._heartbeat = heartbeat

    async def users(self) -> Sequence[Standing]:
        """The users that it names."""
        async with self._heartbeat.free:
            rows = await self._connection.fetch(USERS, self.id)
        return [Standing(row["id"], row["is_active"]) for row in rows]

    async def owners(self, after: UUID = _FIRST) -> list[Owner]:
        """The next faces that it has changed, by id, at most `PAGE`, as they are now."""
        async with self._heartbeat.free:
            rows = await self._connection.fetch(OWNERS, self.id, after, PAGE)
        return [Owner(**dict(row)) for row in rows]

    async def announced(self, after: UUID = _FIRST) -> list[FaceMatch]:
        """The next faces that are to be announced, by id, at most `PAGE`."""
        async with self._heartbeat.free:
            rows = await self._connection.fetch(TOLD, self.id, after, PAGE)
        found: list[FaceMatch] = []
        for row in rows:
            fields = dict(row)
            before = fields.pop("before")
            match = face_row(fields).match
            supersedes = match_name(match.face_id, before)
            found.append(structs.replace(match, correction_id=self.id, supersedes=supersedes))
        return found

    async def done(self) -> None:
        """Nothing is left to do for it."""
        async with self._heartbeat.free:
            await self._connection.execute(DONE, self.id)


class CorrectionWork(PostgresSink):
    """Reads what is left to do. All methods raise the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; connections are made when needed."""
        super().__init__(settings.model_copy(update={"pool_min": 0}), "main")

    @asynccontextmanager
    async def held(self, correction_id: UUID) -> AsyncIterator[HeldCorrection]:
        """Hold the faces of a correction as they are read, until the block ends."""
        operation = "follow a correction"
        async with self._connection(operation) as connection, connection.transaction():
            heartbeat = Heartbeat(connection, self._settings.idle_transaction_timeout)
            async with heartbeat:
                yield HeldCorrection(connection, correction_id, heartbeat)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[HeldCorrection | None]:
        """Hold the oldest correction for which something is left to do; None: there is none."""
        operation = "follow corrections"
        async with self._connection(operation) as connection, connection.transaction():
            correction_id = await connection.fetchval(NEXT)
            heartbeat = Heartbeat(connection, self._settings.idle_transaction_timeout)
            async with heartbeat:
                yield (
                    None
                    if correction_id is None
                    else HeldCorrection(connection, correction_id, heartbeat)
                )

    async def orphaned_cameras(self) -> list[str]:
        """Cameras with announcements of visits that are to be sent, and without a worker."""
        async with self._connection("look for cameras without a worker") as connection:
            rows = await connection.fetch(ORPHANED_CAMERAS)
        return [row["camera_id"] for row in rows]
