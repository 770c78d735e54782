"""Personal data in the vector database: templates, and whose a sighting is."""

from typing import ClassVar
from uuid import UUID

from domain.personal_data import Cutoffs, DataSubject, PersonalData, Traces
from sinks.vector.sighting_store import SightingStore
from sinks.vector.templates.template_store import IS_ERASED, LOCK_ALL_HEADS, LOCK_USER
from sinks.vector.unknowns import unknown_vectors

ADD_TOMBSTONE = "INSERT INTO erased_people (user_id) VALUES ($1) ON CONFLICT DO NOTHING"

GALLERY_ENTRIES = "SELECT count(*) FROM gallery WHERE user_id = $1 AND embedding IS NOT NULL"

TRACES = """
SELECT (SELECT count(*) FROM face_embeddings WHERE user_id = $1 AND kind = 'template') AS templates,
       (SELECT count(*) FROM face_embeddings WHERE user_id = $1 AND kind = 'sighting') AS sightings,
       (SELECT count(*) FROM gallery WHERE user_id = $1 AND embedding IS NOT NULL) AS galleries
"""

# Takes no revision, and returns nothing, if there is a tombstone already.
WRITE_TOMBSTONE = """
WITH head AS (
    UPDATE gallery_heads SET revision = revision + 1
    WHERE model = $2 AND NOT EXISTS (
        SELECT FROM gallery WHERE user_id = $1 AND model = $2 AND erased_at IS NOT NULL)
    RETURNING revision
)
INSERT INTO gallery (user_id, model, embedding, photos, revision, erased_at)
SELECT $1, $2, NULL, 0, revision, now() FROM head
ON CONFLICT (user_id, model) DO UPDATE
SET embedding = NULL, photos = 0, revision = excluded.revision, erased_at = now(),
    suspended_at = NULL, updated_at = now()
RETURNING revision
"""

DELETE_TEMPLATES = """
WITH deleted AS (
    DELETE FROM face_embeddings WHERE user_id = $1 AND kind = 'template' RETURNING 1
)
SELECT count(*) FROM deleted
"""

# Conflicts with every insert and update under way; released at once.
WAIT_FOR_WRITERS = "LOCK TABLE face_embeddings IN SHARE MODE"

UNLINK_SIGHTINGS = """
WITH unlinked AS (
    UPDATE face_embeddings SET user_id = NULL WHERE user_id = $1 AND kind = 'sighting' RETURNING 1
)
SELECT count(*) FROM unlinked
"""


class VectorErasure(SightingStore, PersonalData):
    """Finds and erases a user, and deletes sightings by age."""

    receipt_name = "vector"
    erased_places: ClassVar = {
        "face_embeddings.face_id": "templates are deleted; sightings are an unknown's",
        "face_embeddings.user_id": "templates are deleted; sightings are unlinked",
        "face_embeddings.embedding": "templates are deleted; sightings are an unknown's",
        "gallery.embedding": "deleted",
        **unknown_vectors.ERASED_PLACES,
    }
    kept_places: ClassVar = {
        "gallery.user_id": "the id, for those who follow the gallery",
        "erased_people.user_id": "the id, against what is in flight",
    }

    async def traces(self, user: DataSubject) -> Traces:
        """What this database holds of a user."""
        async with self._connection("look for a user") as connection:
            record = await connection.fetchrow(TRACES, user.id)
            exemplars = await connection.fetchval(
                unknown_vectors.COUNT_EXEMPLARS,
                list(user.known.unknown_ids),
                list(user.known.visit_ids),
            )
        return _traces(**dict(record or {}), exemplars=exemplars)

    async def erase(self, user: DataSubject) -> Traces:
        """Take a user out permanently: every gallery, every template, every sighting's link.

        Tombstones stay, with nothing but the id in them: workers learn of the erasure from them,
        and an event in flight cannot bring the user back, nor one of a model that is not
        set up yet. Erasing again is harmless.
        """
        async with self._connection("erase a user") as connection:
            async with connection.transaction():
                await connection.execute(LOCK_USER, user.id)
                await connection.execute(ADD_TOMBSTONE, user.id)
                entries = await connection.fetchval(GALLERY_ENTRIES, user.id)
                for record in await connection.fetch(LOCK_ALL_HEADS):
                    await connection.execute(WRITE_TOMBSTONE, user.id, record["model"])
                templates = await connection.fetchval(DELETE_TEMPLATES, user.id)
                exemplars = await unknown_vectors.remove(connection, user.known.unknown_ids)
                exemplars += await unknown_vectors.remove_visits(connection, user.known.visit_ids)
            # A worker that was adding sightings when the tombstones were written may not have seen
            # them; wait for it, so that its sightings are also unlinked.
            async with connection.transaction():
                await connection.execute(WAIT_FOR_WRITERS)
            sightings = await connection.fetchval(UNLINK_SIGHTINGS, user.id)
        return _traces(templates, entries, sightings, exemplars)

    async def is_erased(self, user_id: UUID) -> bool:
        """Whether there is a tombstone for this user."""
        async with self._connection("look for a tombstone") as connection:
            return bool(await connection.fetchval(IS_ERASED, user_id))

    async def expire(self, before: Cutoffs) -> Traces:
        """Delete the embeddings of sightings and unknowns that were too old, never a template."""
        gone = await self.delete_sightings(before.known.face_ids)
        operation = "delete unknowns that are too old"
        async with self._connection(operation) as connection, connection.transaction():
            exemplars = await unknown_vectors.remove(connection, before.known.unknown_ids)
            if before.unknowns is not None:
                await connection.execute(unknown_vectors.FORGET_GONE)
        return Traces({"embeddings": gone, "embeddings of unknowns": exemplars})


def _traces(templates: int, galleries: int, sightings: int, exemplars: int) -> Traces:
    """What a receipt says: embeddings of photos, fused templates, embeddings of faces seen."""
    return Traces(
        {
            "templates": templates,
            "gallery entries": galleries,
            "links of sightings": sightings,
            "embeddings of unknowns": exemplars,
        }
    )
