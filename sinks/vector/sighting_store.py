"""Sightings: the embeddings of faces that cameras saw, and the search among them by HNSW."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from domain.store_rows import Embedding, Sighting, SimilarSighting
from sinks.vector.partitions import partition_name
from sinks.vector.vector_database import VectorDatabase

#: ef_search of the sightings search; pgvector's default of 40 misses far too many.
EF_SEARCH = 200

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
DELETE FROM face_embeddings WHERE face_id = ANY($1::uuid[]) AND kind = 'sighting' RETURNING 1
"""

TUNE_HNSW = """
SELECT set_config('hnsw.ef_search', $1, true),
       set_config('hnsw.iterative_scan', 'relaxed_order', true)
"""

# {partition} is an identifier that `partition_name` makes, {dimension} an integer:
# the two things that cannot be parameters. The index finds candidates in half precision; the
# similarity is exact.
SIMILAR_SIGHTINGS = """
WITH nearest AS MATERIALIZED (
    SELECT face_id, user_id, captured_at, embedding
    FROM {partition}
    WHERE kind = 'sighting' AND ($3::timestamptz IS NULL OR captured_at >= $3)
    ORDER BY embedding::halfvec({dimension}) <=> $1::vector::halfvec({dimension})
    LIMIT $2
)
SELECT face_id, user_id, captured_at, 1 - (embedding <=> $1::vector) AS similarity
FROM nearest ORDER BY similarity DESC, face_id
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

    async def remove_sighting(self, face_id: UUID) -> None:
        """Delete the embedding of a face that was seen; there need be none."""
        await self.delete_sightings([face_id])

    async def delete_sightings(self, face_ids: Collection[UUID]) -> int:
        """Delete the embeddings of faces seen, never a template; returns how many went."""
        if not face_ids:
            return 0
        async with self._connection("delete sightings") as connection:
            return len(await connection.fetch(DELETE_SIGHTINGS, list(face_ids)))

    async def similar_sightings(
        self,
        embedding: Embedding,
        model: str,
        limit: int,
        *,
        since: datetime | None = None,
        ef_search: int = EF_SEARCH,
    ) -> list[SimilarSighting]:
        """Find the sightings most like a face, best first, by HNSW: a few may be missed.

        Args:
            embedding: float32, shape (dimension,).
            model: id of the embedder.
            limit: at most so many.
            since: only captured at this moment or later.
            ef_search: breadth of the search, at most 1000; more finds more and takes longer.

        Raises:
            StoreRejected: the embedding is of another dimension.
        """
        operation = "search sightings"
        probe = self._encoded(operation, embedding)
        statement = SIMILAR_SIGHTINGS.format(
            partition=partition_name(model), dimension=embedding.size
        )
        async with (
            self._connection(operation) as connection,
            connection.transaction(readonly=True),
        ):
            # Filters apply after the index: without iterative scans they starve the result.
            await connection.execute(TUNE_HNSW, str(max(ef_search, min(limit, 1000))))
            records = await connection.fetch(statement, probe, limit, since)
        return [
            SimilarSighting(
                record["face_id"], record["user_id"], record["captured_at"], record["similarity"]
            )
            for record in records
        ]
