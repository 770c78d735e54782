"""Sightings: the embeddings of faces that cameras saw, and the exact search among them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from domain.store_rows import Embedding, Sighting, SimilarSighting
from sinks.vector.vector_database import VectorDatabase
from sinks.vector.vector_format import decode_vector

#: How long a search may take, in seconds; a million sightings of 128 dimensions take about one.
_SEARCH_SECONDS = 60.0

ADD_SIGHTINGS = """
INSERT INTO face_embeddings (face_id, model, user_id, kind, embedding, captured_at)
SELECT face_id, $1, user_id, 'sighting', embedding, captured_at
FROM (
    SELECT face_id, embedding, captured_at, CASE WHEN NOT EXISTS (
        SELECT FROM erased_people WHERE erased_people.user_id = row.user_id
    ) THEN row.user_id END AS user_id
    FROM unnest($2::uuid[], $3::uuid[], $4::vector[], $5::timestamptz[])
        AS row (face_id, user_id, embedding, captured_at)
) AS sighting
ON CONFLICT (face_id, model) DO UPDATE
SET user_id = excluded.user_id, embedding = excluded.embedding, captured_at = excluded.captured_at
WHERE face_embeddings.kind = 'sighting'
"""

DELETE_SIGHTINGS = """
DELETE FROM face_embeddings
WHERE face_id = ANY($1::uuid[]) AND (kind = 'sighting' OR set_aside_at IS NOT NULL) RETURNING 1
"""

SIGHTINGS_BY_ID = """
SELECT face_id, embedding FROM face_embeddings
WHERE model = $1 AND face_id = ANY($2::uuid[]) AND kind = 'sighting'
"""

# Without it, a plan that ignores the bounds of the time is kept after a few searches.
PLAN_EACH = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"

# Every sighting of the time is compared: the index of their times finds them, none of embeddings.
SIMILAR_SIGHTINGS = """
SELECT face_id, user_id, captured_at, 1 - distance AS similarity FROM (
    SELECT face_id, user_id, captured_at, embedding <=> $1::vector AS distance
    FROM face_embeddings
    WHERE model = $2 AND kind = 'sighting' AND face_id <> ALL($4::uuid[])
      AND ($5::timestamptz IS NULL OR captured_at >= $5)
      AND ($6::timestamptz IS NULL OR captured_at < $6)
    ORDER BY distance, face_id LIMIT $3
) AS nearest
ORDER BY distance, face_id
"""

EMBEDDINGS_OF = """
SELECT model, vector_send(embedding) AS data FROM face_embeddings WHERE face_id = $1
"""


class SightingStore(VectorDatabase):
    """Writes, deletes and searches sightings."""

    async def add_sightings(self, model: str, sightings: Sequence[Sighting]) -> None:
        """Write the embeddings of faces that were seen, in one round trip.

        Writing one again overwrites it: a sighting counts only by its face's row in the main
        database. An erased user is not named, and no template is ever overwritten.

        Args:
            model: id of the embedder.
            sightings: any number.
        """
        rows = {sighting.face_id: sighting for sighting in sightings}
        if not rows:
            return
        # Two workers that write the same faces in the same order cannot deadlock.
        ordered = [rows[face_id] for face_id in sorted(rows)]
        async with self._connection("add sightings") as connection:
            await connection.execute(
                ADD_SIGHTINGS,
                model,
                [row.face_id for row in ordered],
                [row.user_id for row in ordered],
                [self._encoded("add sightings", row.embedding) for row in ordered],
                [row.captured_at for row in ordered],
            )

    async def sightings_by_id(
        self, model: str, face_ids: Collection[UUID]
    ) -> dict[UUID, Embedding]:
        """The embeddings of faces that were seen, in one round trip; of those that are there.

        Args:
            model: id of the embedder.
            face_ids: any number.

        Returns:
            By face, float32 of shape (dimension,).
        """
        if not face_ids:
            return {}
        async with self._connection("read sightings") as connection:
            records = await connection.fetch(SIGHTINGS_BY_ID, model, list(face_ids))
        return {record["face_id"]: decode_vector(record["embedding"]) for record in records}

    async def remove_sighting(self, face_id: UUID) -> None:
        """Delete the embedding of a face that was seen; there need be none."""
        await self.delete_sightings([face_id])

    async def delete_sightings(self, face_ids: Collection[UUID]) -> int:
        """Delete the embeddings of faces seen, and of photos that were taken out.

        Never a template that counts. Returns how many went.
        """
        if not face_ids:
            return 0
        async with self._connection("delete sightings") as connection:
            return len(await connection.fetch(DELETE_SIGHTINGS, list(face_ids)))

    async def embeddings_of(self, face_id: UUID) -> dict[str, Embedding]:
        """The embeddings of a face, seen or enrolled, by model: float32 of shape (dimension,)."""
        async with self._connection("read the embeddings of a face") as connection:
            records = await connection.fetch(EMBEDDINGS_OF, face_id)
        return {record["model"]: decode_vector(record["data"]) for record in records}

    async def similar_sightings(  # noqa: PLR0913 - what is looked for, and where
        self,
        embedding: Embedding,
        model: str,
        limit: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        without: Collection[UUID] = (),
    ) -> list[SimilarSighting]:
        """Find the sightings most like a face, best first; none is missed.

        Every sighting of the time is compared. docs/performance.md has the time that takes, and why
        no index of embeddings does it.

        Args:
            embedding: float32, shape (dimension,).
            model: id of the embedder; of one that is not set up there are no sightings.
            limit: at most so many.
            since: only captured at this moment or later.
            until: only captured before it.
            without: faces that are left out.

        Raises:
            StoreRejected: the embedding is of another dimension.
            StoreUnavailable: also when there are too many sightings for `_SEARCH_SECONDS`.
        """
        operation = "search sightings"
        probe = self._encoded(operation, embedding)
        async with (
            self._connection(operation) as connection,
            connection.transaction(readonly=True),
        ):
            await connection.execute(PLAN_EACH)
            records = await connection.fetch(
                SIMILAR_SIGHTINGS,
                probe,
                model,
                limit,
                list(without),
                since,
                until,
                timeout=_SEARCH_SECONDS,
            )
        return [SimilarSighting(**dict(record)) for record in records]
