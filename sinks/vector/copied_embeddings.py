"""Embeddings of stored faces under a further model: a face keeps its id, and has one of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from domain.store_rows import Embedding
from sinks.vector.templates.template_store import ADD_TEMPLATE, LOCK_ALL_HEADS, LOCK_USER, fuse
from sinks.vector.vector_database import VectorDatabase
from sinks.vector.vector_format import decode_vector

#: Rows that are read at a time, and the time that the first of them may take, in seconds.
_PAGE = 10_000
_READ_SECONDS = 60.0

MISSING = """
SELECT DISTINCT ON (face_id) face_id, user_id, captured_at FROM face_embeddings AS one
WHERE kind = $2 AND face_id > $3 AND ($4::timestamptz IS NULL OR captured_at >= $4)
  AND NOT EXISTS (SELECT FROM face_embeddings WHERE face_id = one.face_id AND model = $1)
ORDER BY face_id LIMIT $5
"""

COVERAGE = """
SELECT count(DISTINCT face_id) AS faces, count(*) FILTER (WHERE model = $1) AS embedded
FROM face_embeddings
WHERE kind = $2 AND ($3::timestamptz IS NULL OR captured_at >= $3)
"""

LOST_USERS = """
SELECT DISTINCT user_id FROM gallery AS held
WHERE embedding IS NOT NULL AND model = COALESCE($2, model) AND NOT EXISTS (
    SELECT FROM gallery
    WHERE user_id = held.user_id AND model = $1 AND embedding IS NOT NULL)
ORDER BY user_id
"""

# Templates of users who are out of the gallery, as those who are deactivated, decide nothing.
TEMPLATES_OF_BOTH = """
SELECT one.user_id, vector_send(one.embedding) AS first, vector_send(other.embedding) AS second
FROM face_embeddings AS one LEFT JOIN face_embeddings AS other
    ON other.face_id = one.face_id AND other.model = $2 AND other.kind = 'template'
WHERE one.model = $1 AND one.kind = 'template' AND one.set_aside_at IS NULL AND EXISTS (
    SELECT FROM gallery WHERE user_id = one.user_id AND model = $1 AND embedding IS NOT NULL)
"""

TEMPLATE = """
SELECT user_id, captured_at, weight, set_aside_at FROM face_embeddings
WHERE face_id = $1 AND kind = 'template' LIMIT 1
"""

# A photo that was taken out is out under every model.
SET_ASIDE = """
UPDATE face_embeddings SET set_aside_at = $3 WHERE face_id = $1 AND model = $2
"""


@dataclass(frozen=True, slots=True)
class MissingFace:
    """A face without an embedding of a model.

    Attributes:
        face_id: the face.
        user_id: whose template it is, or who was seen.
        captured_at: when the picture was taken.
    """

    face_id: UUID
    user_id: UUID | None
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many faces there are, and how many of them a model has embedded."""

    faces: int
    embedded: int


@dataclass(frozen=True, slots=True, eq=False)
class TemplatesOfBoth:
    """Photos of the users in a model's gallery, and those that another model has embedded, too.

    Attributes:
        users: number of users.
        photos: number of photos.
        user_ids: whose each photo is that both have embedded; M in all.
        first: float32 (M, dimension) of the one model.
        second: float32 (M, dimension) of the other one.
    """

    users: int
    photos: int
    user_ids: Sequence[UUID]
    first: Embedding
    second: Embedding


class CopiedEmbeddings(VectorDatabase):
    """Adds embeddings of a further model to faces that have one."""

    async def missing(
        self, model: str, kind: str, after: UUID, limit: int, since: datetime | None = None
    ) -> Sequence[MissingFace]:
        """The next faces, by id, that this model has not embedded.

        Args:
            model: id of the embedder.
            kind: ``template`` or ``sighting``.
            after: the last face already known.
            limit: at most so many.
            since: only captured at this moment or later.
        """
        async with self._connection("look for faces to embed again") as connection:
            records = await connection.fetch(MISSING, model, kind, after, since, limit)
        return [MissingFace(**dict(record)) for record in records]

    async def coverage(self, model: str, kind: str, since: datetime | None = None) -> Coverage:
        """How many faces of a kind this model has embedded.

        Args:
            model: id of the embedder.
            kind: ``template`` or ``sighting``.
            since: only captured at this moment or later.
        """
        async with self._connection("count embeddings") as connection:
            record = await connection.fetchrow(COVERAGE, model, kind, since)
        return Coverage(**dict(record or {}))

    async def lost_users(self, model: str, before: str | None) -> list[UUID]:
        """Users in the gallery of the model before, or of any, and not in that of this one."""
        async with self._connection("compare two galleries") as connection:
            records = await connection.fetch(LOST_USERS, model, before)
        return [record["user_id"] for record in records]

    async def templates_of_both(self, model: str, other: str) -> TemplatesOfBoth:
        """The enrolled photos that two models have embedded, as of one moment.

        Args:
            model: id of the embedder in whose gallery the users are.
            other: id of the other one.
        """
        users: set[UUID] = set()
        found: list[tuple[UUID, Embedding, Embedding]] = []
        photos = 0
        async with (
            self._connection("read templates of two models") as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            pages = connection.pages(
                TEMPLATES_OF_BOTH, model, other, size=_PAGE, timeout=_READ_SECONDS
            )
            async for records in pages:
                photos += len(records)
                users |= {record["user_id"] for record in records}
                found += [
                    (
                        record["user_id"],
                        decode_vector(record["first"]),
                        decode_vector(record["second"]),
                    )
                    for record in records
                    if record["second"] is not None
                ]
        return TemplatesOfBoth(
            len(users),
            photos,
            [user for user, _, _ in found],
            _rows([one for _, one, _ in found]),
            _rows([one for _, _, one in found]),
        )

    async def copy_template(self, face_id: UUID, model: str, embedding: Embedding) -> bool:
        """Add a template of this model to a face that is a template, and fuse its user's again.

        The gallery of the model must be there. Repetitions change nothing.

        Args:
            face_id: the face.
            model: id of the embedder.
            embedding: float32, shape (dimension,), length 1.

        Returns:
            Whether it was added: the face may have been removed, or its user erased.

        Raises:
            StoreRejected: the embedding is of another dimension, or has no direction.
        """
        operation = "add a template of another model"
        encoded = self._encoded(operation, embedding)
        async with self._connection(operation) as connection, connection.transaction():
            first = await connection.fetchrow(TEMPLATE, face_id)
            if first is None:
                return False
            # Removals and erasures hold the same locks, so none of them is missed.
            await connection.execute(LOCK_USER, first["user_id"])
            await connection.fetch(LOCK_ALL_HEADS)
            now = await connection.fetchrow(TEMPLATE, face_id)
            if now is None or now["user_id"] != first["user_id"]:
                return False
            user_id, captured_at = now["user_id"], now["captured_at"]
            added = await connection.fetchval(
                ADD_TEMPLATE, face_id, user_id, model, encoded, captured_at, first["weight"]
            )
            if added is not None:
                if now["set_aside_at"] is not None:
                    await connection.execute(SET_ASIDE, face_id, model, now["set_aside_at"])
                await fuse(connection, user_id, model)
            return added is not None


def _rows(embeddings: Sequence[Embedding]) -> Embedding:
    return np.stack(embeddings) if embeddings else np.empty((0, 0), np.float32)
