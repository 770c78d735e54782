"""Whose embeddings are, after a correction: the vector database follows the main one."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sinks.vector.templates.template_store import LOCK_ALL_HEADS, LOCK_USER, fuse
from sinks.vector.vector_database import VectorDatabase

# Those of the users, too, to whom they are given: an erasure of any of them waits.
USERS_OF = """
SELECT DISTINCT user_id FROM (
    SELECT user_id FROM face_embeddings WHERE face_id = ANY($1::uuid[]) AND kind = 'template'
    UNION ALL SELECT unnest($2::uuid[])
) AS named ORDER BY user_id
"""

# Nothing becomes an erased user's.
PLACE_TEMPLATES = """
WITH wanted AS (
    SELECT one.face_id, one.user_id, one.is_out
    FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS one (face_id, user_id, is_out)
    WHERE NOT EXISTS (SELECT FROM erased_people WHERE erased_people.user_id = one.user_id)
), before AS (
    SELECT stored.face_id, stored.model, stored.user_id
    FROM face_embeddings AS stored JOIN wanted USING (face_id)
    WHERE stored.kind = 'template'
      AND (stored.user_id <> wanted.user_id OR (stored.set_aside_at IS NOT NULL) <> wanted.is_out)
    ORDER BY stored.face_id, stored.model FOR UPDATE OF stored
), placed AS (
    UPDATE face_embeddings AS stored
    SET user_id = wanted.user_id, set_aside_at = CASE WHEN wanted.is_out
        THEN COALESCE(stored.set_aside_at, now()) END
    FROM wanted, before
    WHERE stored.face_id = before.face_id AND stored.model = before.model
      AND wanted.face_id = before.face_id
    RETURNING stored.user_id, stored.model
)
SELECT user_id, model FROM placed UNION SELECT user_id, model FROM before ORDER BY user_id, model
"""

LINK_SIGHTINGS = """
UPDATE face_embeddings AS stored SET user_id = wanted.user_id
FROM (
    SELECT face_id, CASE WHEN NOT EXISTS (
        SELECT FROM erased_people WHERE erased_people.user_id = one.user_id
    ) THEN one.user_id END AS user_id
    FROM unnest($1::uuid[], $2::uuid[]) AS one (face_id, user_id)
) AS wanted
WHERE stored.face_id = wanted.face_id AND stored.kind = 'sighting'
  AND stored.user_id IS DISTINCT FROM wanted.user_id
"""


class OwnedTemplate(NamedTuple):
    """Whose a photo is.

    Attributes:
        face_id: the face of the photo.
        user_id: the user.
        is_out: whether the photo was taken out, so that it does not count.
    """

    face_id: UUID
    user_id: UUID
    is_out: bool = False


class TemplateOwners(VectorDatabase):
    """Gives embeddings to the users whose they are; doing it again changes nothing."""

    async def place_templates(self, templates: Sequence[OwnedTemplate]) -> None:
        """Give templates of photos to these users, and fuse those of all users concerned again.

        Args:
            templates: any number; one without an embedding is left out.
        """
        if not templates:
            return
        ordered = sorted(set(templates))
        faces = [one.face_id for one in ordered]
        owners = [one.user_id for one in ordered]
        operation = "give templates to other users"
        async with self._connection(operation) as connection, connection.transaction():
            for record in await connection.fetch(USERS_OF, faces, owners):
                await connection.execute(LOCK_USER, record["user_id"])
            await connection.fetch(LOCK_ALL_HEADS)
            are_out = [one.is_out for one in ordered]
            changed = await connection.fetch(PLACE_TEMPLATES, faces, owners, are_out)
            for record in changed:
                await fuse(connection, record["user_id"], record["model"])

    async def link_sightings(self, owners: Collection[tuple[UUID, UUID | None]]) -> None:
        """Say whose sightings are.

        Args:
            owners: each face with its user; None: an unknown's.
        """
        if not owners:
            return
        ordered = sorted(set(owners), key=lambda one: one[0])
        async with self._connection("link sightings") as connection:
            await connection.execute(
                LINK_SIGHTINGS, [one[0] for one in ordered], [one[1] for one in ordered]
            )
