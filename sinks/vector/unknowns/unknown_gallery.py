"""The gallery of unknowns: read and followed as the one of users is, and changed one at a time.

Who compares a visit with it holds the model's head until what follows is written, so that all
workers together decide as one: two cameras that see a person leave at the same moment do not begin
two unknowns.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain.decisions.grouping import Exemplar, kept_exemplars
from sinks.vector.gallery_reader import GalleryReader, GalleryStatements
from sinks.vector.unknowns import unknown_vectors
from sinks.vector.vector_format import decode_vector, encode_vector

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

MODELS = (
    "SELECT model, dimension FROM unknown_heads JOIN gallery_heads USING (model) ORDER BY model"
)

ADD_HEAD = "INSERT INTO unknown_heads (model) VALUES ($1) ON CONFLICT DO NOTHING"

_OF_UNKNOWNS = GalleryStatements(
    gallery="the gallery of unknowns",
    head="""
SELECT head.revision, dimension FROM unknown_heads AS head JOIN gallery_heads USING (model)
WHERE model = $1
""",
    changes="""
SELECT revision, unknown_id AS id, vector_send(embedding) AS data FROM unknown_templates
WHERE model = $1 AND revision > $2 ORDER BY revision LIMIT $3
""",
    count="SELECT count(*) FROM unknown_templates WHERE model = $1 AND embedding IS NOT NULL",
    templates="""
SELECT unknown_id AS id, vector_send(embedding) AS data FROM unknown_templates
WHERE model = $1 AND embedding IS NOT NULL
""",
)

IDS_PAGE = """
SELECT unknown_id, bool_and(set_aside) AS is_aside FROM unknown_exemplars
WHERE unknown_id > $1 AND created_at < $2 GROUP BY unknown_id ORDER BY unknown_id LIMIT $3
"""

EXEMPLARS_OF_ALL = """
SELECT unknown_id, visit_id, embedding FROM unknown_exemplars
WHERE model = $1 AND unknown_id = ANY($2::uuid[]) ORDER BY unknown_id, visit_id
"""


class LockedGallery:
    """A model's gallery while no other process changes it; every change is part of one transaction.

    Attributes:
        revision: of the latest change, as it was when the gallery was locked.
    """

    def __init__(self, connection: "Session", model: str, revision: int) -> None:
        """Take a connection in a transaction that has locked the model's head."""
        self._connection = connection
        self._model = model
        self.revision = revision

    async def owner_of(self, visit_id: UUID) -> UUID | None:
        """The unknown whose template this visit is part of; None if it is part of none."""
        owner: UUID | None = await self._connection.fetchval(
            unknown_vectors.OWNER, visit_id, self._model
        )
        return owner

    async def exemplars(self, unknown_id: UUID) -> list[Exemplar]:
        """The visits that an unknown's template is made of."""
        return await unknown_vectors.exemplars_of(self._connection, self._model, unknown_id)

    async def write(self, unknown_id: UUID, exemplars: Sequence[Exemplar]) -> None:
        """Make an unknown's template of exactly these visits; without any it is out."""
        await unknown_vectors.keep_only(
            self._connection, self._model, unknown_id, [one.visit_id for one in exemplars]
        )
        await self._connection.execute(
            unknown_vectors.ADD_EXEMPLARS,
            self._model,
            unknown_id,
            [one.visit_id for one in exemplars],
            [encode_vector(one.embedding) for one in exemplars],
        )
        await unknown_vectors.write_template(self._connection, self._model, unknown_id, exemplars)


class UnknownGallery(GalleryReader):
    """Reads the gallery of unknowns, and locks it for those who change it."""

    _gallery = _OF_UNKNOWNS

    async def models(self) -> dict[str, int]:
        """The models that unknowns were grouped by, with the dimension of each."""
        async with self._connection("list the models of unknowns") as connection:
            records = await connection.fetch(MODELS)
        return {record["model"]: record["dimension"] for record in records}

    async def ensure_model(self, model: str, dimension: int) -> bool:
        """Make a model's gallery of unknowns if it is missing; returns whether it was.

        Raises:
            StoreRejected: the model is there with another dimension.
        """
        made = await super().ensure_model(model, dimension)
        async with self._connection("make a gallery of unknowns") as connection:
            await connection.execute(ADD_HEAD, model)
        return made

    @asynccontextmanager
    async def locked(self, model: str) -> AsyncIterator[LockedGallery]:
        """Hold a model's gallery: changes are written when the block ends, or none of them.

        Raises:
            StoreUnavailable: the database is unavailable, or the gallery is not set up.
        """
        operation = "group visits"
        async with self._connection(operation) as connection, connection.transaction():
            revision = await connection.fetchval(unknown_vectors.LOCK_HEAD, model)
            if revision is None:
                raise self._no_such_model(operation, model)
            yield LockedGallery(connection, model, revision)

    async def exemplars_of(
        self, model: str, unknown_ids: Collection[UUID]
    ) -> dict[UUID, list[Exemplar]]:
        """The exemplars of these unknowns, by unknown; those without any are left out."""
        async with self._connection("read exemplars of unknowns") as connection:
            rows = await connection.fetch(EXEMPLARS_OF_ALL, model, list(unknown_ids))
        found: dict[UUID, list[Exemplar]] = {}
        for row in rows:
            exemplar = Exemplar(row["visit_id"], decode_vector(row["embedding"]))
            found.setdefault(row["unknown_id"], []).append(exemplar)
        return found

    async def ids_after(self, last: UUID, before: datetime, limit: int) -> dict[UUID, bool]:
        """The next unknowns by id with an exemplar that was stored before a moment.

        Returns:
            For each whether all these are set aside.
        """
        async with self._connection("page through unknowns") as connection:
            rows = await connection.fetch(IDS_PAGE, last, before, limit)
        return {row["unknown_id"]: row["is_aside"] for row in rows}

    async def remove(self, unknown_ids: Collection[UUID]) -> int:
        """Take unknowns out of every gallery, with all their exemplars; returns how many."""
        async with self._connection("remove unknowns") as connection, connection.transaction():
            return await unknown_vectors.remove(connection, unknown_ids)

    async def set_aside(self, unknown_id: UUID) -> None:
        """Take an unknown who was given a name out of every gallery; `take_back` undoes it.

        Harmless if repeated.
        """
        async with self._connection("set an unknown aside") as connection, connection.transaction():
            await unknown_vectors.set_aside(connection, unknown_id)

    async def visits_set_aside(self, unknown_id: UUID) -> list[UUID]:
        """The visits whose embeddings are set aside."""
        async with self._connection("read what is set aside") as connection:
            rows = await connection.fetch(unknown_vectors.THOSE_SET_ASIDE, unknown_id)
        return [row["visit_id"] for row in rows]

    async def take_back(self, unknown_id: UUID, without: Collection[UUID]) -> None:
        """Make an unknown's templates of what was set aside; harmless if repeated.

        Args:
            unknown_id: the unknown.
            without: visits that are not its own any more: their embeddings are deleted.
        """
        async with self._connection("take an unknown back") as connection, connection.transaction():
            await connection.fetch(unknown_vectors.LOCK_ALL_HEADS)
            await connection.execute(unknown_vectors.FORGET_SET_ASIDE, unknown_id, list(without))
            for row in await connection.fetch(unknown_vectors.TAKE_BACK, unknown_id):
                locked = LockedGallery(connection, row["model"], 0)
                await locked.write(unknown_id, kept_exemplars(await locked.exemplars(unknown_id)))
