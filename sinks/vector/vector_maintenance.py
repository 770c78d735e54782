"""The vector database for maintenance: pages of rows, checks of means, repairs."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from uuid import UUID

from domain.personal_data import FacePart, FaceParts
from sinks.vector.templates.template_store import FUSED, LOCK_HEAD, LOCK_USER, fuse
from sinks.vector.vector_store import Vectors

_FIRST = UUID(int=0)

EMBEDDINGS_PAGE = """
SELECT face_id, model, kind FROM face_embeddings
WHERE (face_id, model) > ($1, $2) AND created_at < $3
ORDER BY face_id, model LIMIT $4
"""

THERE = "SELECT face_id FROM face_embeddings WHERE face_id = ANY($1::uuid[])"

STANDING_PAGE = """
SELECT user_id, bool_or(suspended_at IS NOT NULL) AS is_suspended FROM gallery
WHERE user_id > $1 AND erased_at IS NULL GROUP BY user_id ORDER BY user_id LIMIT $2
"""

PEOPLE_PAGE = """
SELECT user_id FROM (
    (SELECT DISTINCT user_id FROM face_embeddings
     WHERE model = $1 AND kind = 'template' AND user_id > $2 ORDER BY user_id LIMIT $3)
    UNION
    (SELECT user_id FROM gallery WHERE model = $1 AND user_id > $2 ORDER BY user_id LIMIT $3)
) AS people ORDER BY user_id LIMIT $3
"""

# With the expected fused template: none if the user is erased or suspended. The
# tolerance is for sums in another order; a photo more or less moves the mean by far more.
WRONG_MEANS = f"""
WITH asked AS (
    SELECT user_id, EXISTS (SELECT FROM erased_people WHERE user_id = one.user_id) AS erased,
           EXISTS (SELECT FROM gallery WHERE user_id = one.user_id AND suspended_at IS NOT NULL)
               AS suspended
    FROM unnest($2::uuid[]) AS one (user_id)
), fused AS (
    SELECT user_id, {FUSED} AS embedding, count(*) AS photos
    FROM face_embeddings WHERE model = $1 AND kind = 'template' AND user_id = ANY($2::uuid[])
      AND set_aside_at IS NULL
    GROUP BY user_id
)
SELECT user_id, asked.erased FROM asked LEFT JOIN fused USING (user_id)
LEFT JOIN (SELECT * FROM gallery WHERE model = $1) AS held USING (user_id)
WHERE CASE
    WHEN asked.erased THEN fused.photos IS NOT NULL OR held.embedding IS NOT NULL
    WHEN asked.suspended OR fused.photos IS NULL THEN held.embedding IS NOT NULL
    ELSE held.embedding IS NULL OR held.photos <> fused.photos
         OR (held.embedding <=> fused.embedding) > 1e-6
END
"""  # noqa: S608 - made of constants

DELETE_TEMPLATES_OF_MODEL = """
DELETE FROM face_embeddings WHERE user_id = $1 AND model = $2 AND kind = 'template'
"""


class VectorMaintenance(Vectors, FaceParts):
    """`Vectors`, and what reconciler and retention need in addition."""

    async def face_parts(self, before: datetime, limit: int) -> AsyncIterator[Sequence[FacePart]]:
        """Embeddings by face and model, as ``sighting`` or ``template``."""
        last = (_FIRST, "")
        while True:
            async with self._connection("page through embeddings") as connection:
                page = await connection.fetch(EMBEDDINGS_PAGE, *last, before, limit)
            if not page:
                return
            last = (page[-1]["face_id"], page[-1]["model"])
            yield [FacePart(row["face_id"], row["kind"]) for row in page]

    async def discard(self, parts: Sequence[FacePart]) -> None:
        """Delete embeddings; the means of templates' people are made again from the others."""
        await self.delete_sightings([one.face_id for one in parts if one.kind == "sighting"])
        for one in parts:
            if one.kind == "template":
                await self.remove_template(one.face_id)

    async def there(self, face_ids: Collection[UUID]) -> set[UUID]:
        """Those of these faces that have an embedding."""
        async with self._connection("look for embeddings") as connection:
            records = await connection.fetch(THERE, list(face_ids))
        return {record["face_id"] for record in records}

    async def standing_after(self, last: UUID, limit: int) -> dict[UUID, bool]:
        """The next users by id who have a place in a gallery: whether they are suspended."""
        async with self._connection("page through the galleries") as connection:
            records = await connection.fetch(STANDING_PAGE, last, limit)
        return {record["user_id"]: record["is_suspended"] for record in records}

    async def people_after(self, model: str, last: UUID, limit: int) -> list[UUID]:
        """The next users by id who have templates of a model or a place in its gallery."""
        async with self._connection("page through users") as connection:
            records = await connection.fetch(PEOPLE_PAGE, model, last, limit)
        return [record["user_id"] for record in records]

    async def wrong_means(self, model: str, user_ids: Collection[UUID]) -> list[UUID]:
        """Those of these users whose fused template is not the mean of their templates."""
        async with self._connection("check fused templates") as connection:
            records = await connection.fetch(WRONG_MEANS, model, list(user_ids))
        return [record["user_id"] for record in records]

    async def repair_mean(self, model: str, user_id: UUID) -> bool:
        """Make a fused template again if it is wrong; templates of the erased are deleted.

        Returns:
            Whether it was wrong.
        """
        operation = "make a fused template again"
        async with self._connection(operation) as connection, connection.transaction():
            await connection.execute(LOCK_USER, user_id)
            await connection.fetchval(LOCK_HEAD, model)
            wrong = await connection.fetchrow(WRONG_MEANS, model, [user_id])
            if wrong is None:
                return False
            if wrong["erased"]:
                await connection.execute(DELETE_TEMPLATES_OF_MODEL, user_id, model)
            await fuse(connection, user_id, model)
        return True
