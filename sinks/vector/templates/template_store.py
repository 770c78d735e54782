"""Templates: the embeddings of users' photos, and the fused template of each user and model.

Where several locks are taken, it is in this order: the user's, then the heads by model.
"""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from domain.decisions.template_weight import FULL
from domain.store_rows import Embedding, Enrolment, EnrolStatus
from sinks.store_errors import StoreRejected
from sinks.vector.vector_database import VectorDatabase

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

# Taken before any head: enrolment and erasure of a user run one after the other, also when the
# model's head is created at that time.
LOCK_USER = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))"

# Writing into the user's row of a gallery and taking the next revision belong together, and the
# head stays locked until the transaction ends: revisions become visible in their order.
LOCK_HEAD = "SELECT dimension, revision FROM gallery_heads WHERE model = $1 FOR UPDATE"

LOCK_ALL_HEADS = "SELECT model FROM gallery_heads ORDER BY model FOR UPDATE"

# A user is erased for all models.
IS_ERASED = "SELECT EXISTS (SELECT FROM erased_people WHERE user_id = $1)"

# A photo that was taken out, and is enrolled again, counts again.
ADD_TEMPLATE = """
INSERT INTO face_embeddings (face_id, user_id, model, kind, embedding, captured_at, weight)
VALUES ($1, $2, $3, 'template', $4, $5, $6)
ON CONFLICT (face_id, model) DO UPDATE
SET user_id = excluded.user_id, weight = excluded.weight, set_aside_at = NULL
WHERE face_embeddings.kind = 'template' AND face_embeddings.set_aside_at IS NOT NULL
RETURNING face_id
"""

# Under all models that it has a template of, also those that embed no photos any more. The user's
# lock keeps it from being taken out, or put back, in between.
IS_OUT = """
SELECT EXISTS (
    SELECT FROM face_embeddings
    WHERE face_id = $1 AND kind = 'template' AND set_aside_at IS NOT NULL)
"""

PUT_BACK = """
UPDATE face_embeddings SET user_id = $2, set_aside_at = NULL
WHERE face_id = $1 AND kind = 'template' AND set_aside_at IS NOT NULL
RETURNING model
"""

REMOVE_TEMPLATE = """
DELETE FROM face_embeddings WHERE face_id = $1 AND kind = 'template' RETURNING user_id, model
"""

HAS_TEMPLATE = """
SELECT EXISTS (
    SELECT FROM face_embeddings
    WHERE face_id = $1 AND model = $2 AND kind = 'template' AND set_aside_at IS NULL)
"""

#: The template of a group of photos: their mean by weight. pgvector multiplies vectors by
#: component, so a weight is as many equal components. A sum in another order could differ by a bit.
FUSED = """l2_normalize(avg(
        embedding * array_fill(weight, ARRAY[vector_dims(embedding)])::vector ORDER BY face_id
    ))"""

# The mean of no template is null: out of the gallery. Nothing of a suspended user is fused, nor of
# photos that were taken out.
FUSE = f"""
WITH fused AS (
    SELECT {FUSED} AS embedding, count(*)::integer AS photos
    FROM face_embeddings WHERE user_id = $1 AND model = $2 AND kind = 'template'
    AND set_aside_at IS NULL
    AND NOT EXISTS (SELECT FROM gallery WHERE user_id = $1 AND suspended_at IS NOT NULL)
), head AS (
    UPDATE gallery_heads SET revision = revision + 1 WHERE model = $2 RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision)
SELECT $1, $2, embedding, photos, revision FROM fused, head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = excluded.embedding, photos = excluded.photos, revision = excluded.revision,
    updated_at = now()
RETURNING photos, revision
"""  # noqa: S608 - made of constants

GALLERY_ENTRY = "SELECT photos, revision FROM gallery WHERE user_id = $1 AND model = $2"

# Takes no revision where the user is suspended, or erased, already.
SUSPEND = """
WITH head AS (
    UPDATE gallery_heads SET revision = revision + 1
    WHERE model = $2 AND NOT EXISTS (
        SELECT FROM gallery WHERE user_id = $1 AND model = $2
        AND (erased_at IS NOT NULL OR suspended_at IS NOT NULL))
    RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision, suspended_at)
SELECT $1, $2, NULL, 0, revision, now() FROM head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = NULL, photos = 0, revision = excluded.revision, suspended_at = now(),
    updated_at = now()
RETURNING revision
"""

# The models to fuse for: those of the suspension, and those that were set up, and enrolled with,
# since.
RESUME = """
WITH resumed AS (
    UPDATE gallery SET suspended_at = NULL WHERE user_id = $1 AND suspended_at IS NOT NULL
    RETURNING model
)
SELECT model FROM resumed
UNION
SELECT model FROM face_embeddings WHERE user_id = $1 AND kind = 'template' AND NOT EXISTS (
    SELECT FROM gallery
    WHERE user_id = $1 AND gallery.model = face_embeddings.model AND embedding IS NOT NULL)
    AND set_aside_at IS NULL
ORDER BY model
"""


class TemplateStore(VectorDatabase):
    """Adds, removes, suspends and resumes templates; every change has a revision."""

    async def enrol(  # noqa: PLR0913 - a template and its conditions
        self,
        face_id: UUID,
        user_id: UUID,
        model: str,
        embedding: Embedding,
        captured_at: datetime,
        *,
        weight: float = FULL,
        at_revision: int | None = None,
    ) -> Enrolment:
        """Add one photo's template to a user and make the fused template again.

        The same face again changes nothing. A photo that was taken out counts again, under every
        model. A user who was erased is not enrolled again.

        Args:
            face_id: the face.
            user_id: the user.
            model: id of the embedder.
            embedding: float32, shape (dimension,), length 1.
            captured_at: when the photo was taken.
            weight: how much it counts in the fused template, more than 0, at most 1.
            at_revision: of the gallery that the photo was compared with; where it has changed,
                nothing is added. None: it may have any.

        Returns:
            Whether it was added, and how many photos the user has now.

        Raises:
            StoreRejected: the embedding is of another dimension, or has no direction.
        """
        operation = "enrol"
        async with self._connection(operation) as connection, connection.transaction():
            await connection.execute(LOCK_USER, user_id)
            is_out = await connection.fetchval(IS_OUT, face_id)
            if is_out:
                await connection.fetch(LOCK_ALL_HEADS)
            head = await connection.fetchrow(LOCK_HEAD, model)
            if head is None:
                raise self._no_such_model(operation, model)
            dimension = head["dimension"]
            if embedding.shape != (dimension,):
                raise StoreRejected(
                    self.store,
                    operation,
                    f"model {model} has dimension {dimension}, the embedding {embedding.shape}",
                    reason="wrong_dimension",
                )
            if await connection.fetchval(IS_ERASED, user_id):
                return Enrolment(status=EnrolStatus.ERASED, photos=0, revision=0)
            if at_revision is not None and head["revision"] != at_revision:
                return Enrolment(status=EnrolStatus.OUTDATED, photos=0, revision=head["revision"])
            added = await connection.fetchval(
                ADD_TEMPLATE,
                face_id,
                user_id,
                model,
                self._encoded(operation, embedding),
                captured_at,
                weight,
            )
            if is_out:
                for back in await connection.fetch(PUT_BACK, face_id, user_id):
                    await fuse(connection, user_id, back["model"])
            if added is None:
                record = await connection.fetchrow(GALLERY_ENTRY, user_id, model)
                return _enrolment(EnrolStatus.UNCHANGED, record)
            return _enrolment(EnrolStatus.ENROLLED, await fuse(connection, user_id, model))

    async def has_template(self, face_id: UUID, model: str) -> bool:
        """Whether a photo is enrolled: an earlier attempt at it has decided."""
        async with self._connection("look for a template") as connection:
            return bool(await connection.fetchval(HAS_TEMPLATE, face_id, model))

    async def remove_template(self, face_id: UUID) -> Enrolment | None:
        """Take one photo's templates away, of each model, and make the fused ones again.

        With the last one the user leaves the gallery, but may be enrolled again.

        Returns:
            The user's state after it, in the gallery of one of the models; None when there is no
            such template.
        """
        async with self._connection("remove a template") as connection, connection.transaction():
            await connection.fetch(LOCK_ALL_HEADS)
            state = None
            for record in await connection.fetch(REMOVE_TEMPLATE, face_id):
                fused = await fuse(connection, record["user_id"], record["model"])
                state = _enrolment(EnrolStatus.ENROLLED, fused)
            return state

    async def suspend_user(self, user_id: UUID) -> None:
        """Take a user out of every gallery, and keep the templates; doing it again is harmless.

        Photos that are enrolled during the suspension are kept too; they count from `resume_user`
        on.
        """
        async with self._connection("suspend a user") as connection, connection.transaction():
            for record in await connection.fetch(LOCK_ALL_HEADS):
                await connection.fetchval(SUSPEND, user_id, record["model"])

    async def resume_user(self, user_id: UUID) -> None:
        """Bring a suspended user's templates back into the galleries.

        Also those of models that came after the suspension.
        """
        async with self._connection("resume a user") as connection, connection.transaction():
            await connection.fetch(LOCK_ALL_HEADS)
            for record in await connection.fetch(RESUME, user_id):
                await fuse(connection, user_id, record["model"])


async def fuse(connection: "Session", user_id: UUID, model: str) -> asyncpg.Record | None:
    """Make a user's fused template again; the gallery's head is locked."""
    return await connection.fetchrow(FUSE, user_id, model)


def _enrolment(status: EnrolStatus, record: asyncpg.Record | None) -> Enrolment:
    """The gallery's row as the caller gets it; without a row, as after a template of no gallery."""
    if record is None:
        return Enrolment(status=status, photos=0, revision=0)
    return Enrolment(status=status, photos=record["photos"], revision=record["revision"])
