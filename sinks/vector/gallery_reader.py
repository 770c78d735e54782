"""The galleries as workers read them: whole at the start, then the changes by revision."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from domain.store_rows import GalleryChange, GalleryChunk
from sinks.vector.vector_database import VectorDatabase
from sinks.vector.vector_format import decode_vector, decode_vectors

#: A statement that reads the gallery may take so long, in seconds: it may be large.
_LOAD_SECONDS = 60.0

#: Rows of the gallery read at a time: 5 MB of 128 dimensions, 20 MB of 512.
LOAD_CHUNK = 10_000

HEAD = "SELECT revision, dimension FROM gallery_heads WHERE model = $1"


@dataclass(frozen=True, slots=True)
class GalleryStatements:
    """How a gallery is read.

    Attributes:
        gallery: what errors call it.
        head: revision and dimension of a model.
        changes: revision, id, data (None for one that is out) of a model after a revision, oldest
            first; at most so many.
        count: the number of templates of a model.
        templates: id and data of all of them.
    """

    gallery: str
    head: str
    changes: str
    count: str
    templates: str


_OF_USERS = GalleryStatements(
    gallery="the gallery",
    head=HEAD,
    changes="""
SELECT revision, user_id AS id, vector_send(embedding) AS data
FROM gallery WHERE model = $1 AND revision > $2
ORDER BY revision LIMIT $3
""",
    count="SELECT count(*) FROM gallery WHERE model = $1 AND embedding IS NOT NULL",
    templates="""
SELECT user_id AS id, vector_send(embedding) AS data
FROM gallery WHERE model = $1 AND embedding IS NOT NULL
""",
)


class GalleryReader(VectorDatabase):
    """Reads galleries; changes nothing."""

    _gallery: ClassVar[GalleryStatements] = _OF_USERS

    async def changes(
        self, model: str, after_revision: int, limit: int = 1000
    ) -> list[GalleryChange]:
        """What changed in a gallery, oldest first; each template at most once, as it is now.

        Args:
            model: id of the embedder.
            after_revision: the last revision already known.
            limit: at most so many; there may be more when so many come.
        """
        async with self._connection(f"follow {self._gallery.gallery}") as connection:
            records = await connection.fetch(self._gallery.changes, model, after_revision, limit)
        return [
            GalleryChange(
                record["revision"],
                record["id"],
                None if record["data"] is None else decode_vector(record["data"]),
            )
            for record in records
        ]

    async def load(self, model: str, chunk: int = LOAD_CHUNK) -> AsyncIterator[GalleryChunk]:
        """Read the whole gallery as of one moment, a part at a time.

        At least one part is returned, so that an empty gallery also has a revision.

        Args:
            model: id of the embedder.
            chunk: templates in a part.
        """
        read = self._gallery
        operation = f"load {read.gallery}"
        async with (
            self._connection(operation) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await connection.fetchrow(read.head, model)
            if head is None:
                raise self._no_such_model(operation, model)
            revision, dimension = head["revision"], head["dimension"]
            total = await connection.fetchval(read.count, model, timeout=_LOAD_SECONDS)
            pages = connection.pages(read.templates, model, size=chunk, timeout=_LOAD_SECONDS)
            async for records in pages:
                if records or not total:
                    yield GalleryChunk(
                        revision=revision,
                        total=total,
                        user_ids=[record["id"] for record in records],
                        embeddings=decode_vectors(
                            [record["data"] for record in records], dimension
                        ),
                    )
