"""The vector database: templates, sightings and the gallery.

The gallery is what people are recognised by: one fused template a person and model, the
normalised mean of the person's photos. Its truth is here; workers load it at start and follow its
changes by revision. Sightings are for "where else was this face seen", by HNSW.
"""

import re
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import asyncpg

from config.settings import DatabaseSettings
from domain.personal_data import Cutoffs, DataSubject, PersonalData, Traces
from domain.records import (
    Embedding,
    Enrolment,
    EnrolStatus,
    GalleryChange,
    GalleryChunk,
    Sighting,
    SimilarSighting,
)
from sinks.postgres.pool import PostgresSink
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.vector import sql
from sinks.vector.partitions import DimensionConflictError, ensure_partition, partition_name
from sinks.vector.vector_format import decode_vector, decode_vectors, encode_vector

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session
    from sinks.postgres.pool import RawConnection

#: The oldest pgvector whose HNSW index survives vacuuming.
PGVECTOR_MINIMUM = "0.8.4"

#: A statement that reads the gallery may take so long, in seconds: it may be large.
_LOAD_SECONDS = 60.0

#: Rows of the gallery read at a time: 5 MB of 128 dimensions, 20 MB of 512.
LOAD_CHUNK = 10_000

#: ef_search of the sightings search; pgvector's default of 40 misses far too many.
EF_SEARCH = 200


class Vectors(PostgresSink, PersonalData):
    """Reads and writes the vector database. All methods raise the errors of `sinks.store_errors`.

    Embeddings are float32 numpy arrays of length 1.
    """

    receipt_name = "vector"
    erased_places: ClassVar = {
        "face_embeddings.face_id": "templates are deleted; sightings are an unknown's",
        "face_embeddings.user_id": "templates are deleted; sightings are unlinked",
        "face_embeddings.embedding": "templates are deleted; sightings are an unknown's",
        "gallery.embedding": "deleted",
    }
    kept_places: ClassVar = {
        "gallery.user_id": "the id, for those who follow the gallery",
        "erased_people.user_id": "the id, against what is in flight",
    }

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the vector database; `connect` opens it."""
        super().__init__(settings, "vector")

    async def ensure_model(self, model: str, dimension: int) -> bool:
        """Create the partition for a model's embeddings if it is missing.

        Returns whether it was created.

        Raises:
            StoreRejected: the model is there with another dimension.
        """
        operation = f"make room for model {model}"
        async with self._connection(operation) as connection:
            try:
                return await ensure_partition(connection, model, dimension)
            except DimensionConflictError as error:
                raise StoreRejected(
                    self.store, operation, str(error), reason="wrong_dimension"
                ) from error

    async def add_sightings(self, model: str, sightings: Sequence[Sighting]) -> None:
        """Write the embeddings of faces that were seen, in one round trip.

        Writing one again overwrites it: a sighting counts only by its face's row in the main
        database. Who was erased in the meantime is not named, and no template is ever overwritten.

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
                sql.ADD_SIGHTINGS,
                model,
                [row.face_id for row in ordered],
                [row.user_id for row in ordered],
                [self._encoded("add sightings", row.embedding) for row in ordered],
                [row.captured_at for row in ordered],
            )

    async def enrol(
        self, face_id: UUID, user_id: UUID, model: str, embedding: Embedding, captured_at: datetime
    ) -> Enrolment:
        """Add one photo's template to a person and make the fused template again.

        The same face again changes nothing. Who was erased is not enrolled again.

        Args:
            face_id: the face.
            user_id: the person.
            model: id of the embedder.
            embedding: float32, shape (dimension,), length 1.
            captured_at: when the photo was taken.

        Returns:
            Whether it was added, and how many photos the person has now.

        Raises:
            StoreRejected: the embedding is of another dimension, or has no direction.
        """
        operation = "enrol"
        async with self._connection(operation) as connection, connection.transaction():
            await connection.execute(sql.LOCK_PERSON, user_id)
            dimension = await connection.fetchval(sql.LOCK_HEAD, model)
            if dimension is None:
                raise self._no_such_model(operation, model)
            if embedding.shape != (dimension,):
                raise StoreRejected(
                    self.store,
                    operation,
                    f"model {model} has dimension {dimension}, the embedding {embedding.shape}",
                    reason="wrong_dimension",
                )
            if await connection.fetchval(sql.IS_ERASED, user_id):
                return Enrolment(status=EnrolStatus.ERASED, photos=0, revision=0)
            added = await connection.fetchval(
                sql.ADD_TEMPLATE,
                face_id,
                user_id,
                model,
                self._encoded(operation, embedding),
                captured_at,
            )
            if added is None:
                record = await connection.fetchrow(sql.GALLERY_ENTRY, user_id, model)
                return _enrolment(EnrolStatus.UNCHANGED, record)
            return _enrolment(EnrolStatus.ENROLLED, await fuse(connection, user_id, model))

    async def remove_template(self, face_id: UUID) -> Enrolment | None:
        """Take one photo's template away and make the fused template again.

        With the last one the person leaves the gallery, but may be enrolled again.

        Returns:
            The person's state after it; None when there is no such template.
        """
        async with self._connection("remove a template") as connection, connection.transaction():
            model = await connection.fetchval(sql.MODEL_OF_TEMPLATE, face_id)
            if model is None:
                return None
            await connection.fetchval(sql.LOCK_HEAD, model)
            user_id = await connection.fetchval(sql.REMOVE_TEMPLATE, face_id, model)
            if user_id is None:
                return None
            return _enrolment(EnrolStatus.ENROLLED, await fuse(connection, user_id, model))

    async def remove_sighting(self, face_id: UUID) -> None:
        """Delete the embedding of a face that was seen; there need be none."""
        async with self._connection("remove a sighting") as connection:
            await connection.execute(sql.REMOVE_SIGHTING, face_id)

    async def suspend_user(self, user_id: UUID) -> None:
        """Take a person out of every gallery, and keep the templates; doing it again is harmless.

        Photos that are enrolled in the meantime are kept too, and count from `resume_user` on.
        """
        async with self._connection("suspend a person") as connection, connection.transaction():
            for record in await connection.fetch(sql.LOCK_ALL_HEADS):
                await connection.fetchval(sql.SUSPEND, user_id, record["model"])

    async def resume_user(self, user_id: UUID) -> None:
        """Bring a suspended person's templates back into the galleries.

        Also those of models that came after the suspension.
        """
        async with self._connection("resume a person") as connection, connection.transaction():
            await connection.fetch(sql.LOCK_ALL_HEADS)
            for record in await connection.fetch(sql.RESUME, user_id):
                await fuse(connection, user_id, record["model"])

    async def erase(self, user: DataSubject) -> Traces:
        """Take a person out permanently: every gallery, every template, every sighting's link.

        Tombstones stay, with nothing but the id in them: workers learn of the erasure from them,
        and an event in flight cannot bring the user back, nor one of a model that is not
        set up yet. Erasing again is harmless.
        """
        async with self._connection("erase a person") as connection:
            async with connection.transaction():
                await connection.execute(sql.LOCK_PERSON, user.id)
                await connection.execute(sql.ADD_TOMBSTONE, user.id)
                entries = await connection.fetchval(sql.GALLERY_ENTRIES, user.id)
                for record in await connection.fetch(sql.LOCK_ALL_HEADS):
                    await connection.execute(sql.WRITE_TOMBSTONE, user.id, record["model"])
                templates = await connection.fetchval(sql.DELETE_TEMPLATES, user.id)
            # A worker that was adding sightings when the tombstones were written may not have seen
            # them; wait for it, so that its sightings are also unlinked.
            async with connection.transaction():
                await connection.execute(sql.WAIT_FOR_WRITERS)
            sightings = await connection.fetchval(sql.UNLINK_SIGHTINGS, user.id)
        return _traces(templates, entries, sightings)

    async def is_erased(self, user_id: UUID) -> bool:
        """Whether there is a tombstone for this user."""
        async with self._connection("look for a tombstone") as connection:
            return bool(await connection.fetchval(sql.IS_ERASED, user_id))

    async def traces(self, user: DataSubject) -> Traces:
        """What this database holds of a person."""
        async with self._connection("look for a person") as connection:
            record = await connection.fetchrow(sql.TRACES, user.id)
        return _traces(**dict(record or {}))

    async def expire(self, before: Cutoffs) -> Traces:
        """Delete the embeddings of sightings whose rows were too old, never a template."""
        gone = await self.delete_sightings(before.known.face_ids)
        return Traces({"embeddings": gone})

    async def delete_sightings(self, face_ids: Collection[UUID]) -> int:
        """Delete the embeddings of faces seen, never a template; returns how many went."""
        if not face_ids:
            return 0
        async with self._connection("delete sightings") as connection:
            return len(await connection.fetch(sql.DELETE_SIGHTINGS, list(face_ids)))

    async def models(self) -> dict[str, int]:
        """The models that are set up, with the dimension of each."""
        async with self._connection("list the models") as connection:
            records = await connection.fetch(sql.MODELS)
        return {record["model"]: record["dimension"] for record in records}

    async def changes(
        self, model: str, after_revision: int, limit: int = 1000
    ) -> list[GalleryChange]:
        """What changed in a gallery, oldest first; each person at most once, as it is now.

        Args:
            model: id of the embedder.
            after_revision: the last revision already known.
            limit: at most so many; there may be more when so many come.
        """
        async with self._connection("follow the gallery") as connection:
            records = await connection.fetch(sql.CHANGES, model, after_revision, limit)
        return [
            GalleryChange(
                record["revision"],
                record["user_id"],
                None if record["data"] is None else decode_vector(record["data"]),
            )
            for record in records
        ]

    async def load(self, model: str, chunk: int = LOAD_CHUNK) -> AsyncIterator[GalleryChunk]:
        """Read the whole gallery as of one moment, a part at a time.

        At least one part is returned, so that an empty gallery also has a revision.

        Args:
            model: id of the embedder.
            chunk: people in a part.
        """
        operation = "load the gallery"
        async with (
            self._connection(operation) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await connection.fetchrow(sql.HEAD, model)
            if head is None:
                raise self._no_such_model(operation, model)
            revision, dimension = head["revision"], head["dimension"]
            total = await connection.fetchval(sql.COUNT_GALLERY, model, timeout=_LOAD_SECONDS)
            pages = connection.pages(sql.GALLERY, model, size=chunk, timeout=_LOAD_SECONDS)
            async for records in pages:
                if records or not total:
                    yield GalleryChunk(
                        revision=revision,
                        total=total,
                        user_ids=[record["user_id"] for record in records],
                        embeddings=decode_vectors(
                            [record["data"] for record in records], dimension
                        ),
                    )

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
        statement = sql.SIMILAR_SIGHTINGS.format(
            partition=partition_name(model), dimension=embedding.size
        )
        async with (
            self._connection(operation) as connection,
            connection.transaction(readonly=True),
        ):
            # Filters apply after the index: without iterative scans they starve the result.
            await connection.execute(sql.TUNE_HNSW, str(max(ef_search, min(limit, 1000))))
            records = await connection.fetch(statement, probe, limit, since)
        return [
            SimilarSighting(
                record["face_id"], record["user_id"], record["captured_at"], record["similarity"]
            )
            for record in records
        ]

    def _encoded(self, operation: str, embedding: Embedding) -> bytes:
        try:
            return encode_vector(embedding)
        except ValueError as error:
            raise StoreRejected(
                self.store, operation, str(error), reason="bad_embedding"
            ) from error

    def _no_such_model(self, operation: str, model: str) -> StoreUnavailable:
        """A worker runs a model that is not set up: the events are not at fault."""
        return StoreUnavailable(
            self.store, operation, f"model {model} is not set up; run fecapass init-db"
        )

    async def _prepare(self, connection: "RawConnection") -> None:
        """Pass vectors in pgvector's binary format on this connection."""
        await require_pgvector(connection, self.store)
        await connection.set_type_codec(
            "vector",
            schema="public",
            # Vectors are passed as encoded: in a list of arrays asyncpg would see a table.
            encoder=bytes,
            decoder=bytes,
            format="binary",
        )


async def require_pgvector(connection: "RawConnection", store: str) -> None:
    """Check that pgvector is there and new enough.

    Raises:
        StoreUnavailable: it is not.
    """
    version = await connection.fetchval(sql.PGVECTOR_VERSION)
    if version is None:
        raise StoreUnavailable(
            store, "connect", "the extension pgvector is not there; run fecapass init-db"
        )
    if not is_recent(version):
        raise StoreUnavailable(
            store,
            "connect",
            f"pgvector {PGVECTOR_MINIMUM} or later is needed (earlier ones corrupt HNSW indexes "
            f"when vacuuming), found {version}",
        )


def is_recent(version: str) -> bool:
    """Whether a version of pgvector, as "0.8.4", is `PGVECTOR_MINIMUM` or later."""
    return _numbers(version) >= _numbers(PGVECTOR_MINIMUM)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


async def fuse(connection: "Session", user_id: UUID, model: str) -> asyncpg.Record | None:
    """Make a person's fused template again; the gallery's head is locked."""
    return await connection.fetchrow(sql.FUSE, user_id, model)


def _traces(templates: int, galleries: int, sightings: int) -> Traces:
    """What a receipt says: embeddings of photos, fused templates, embeddings of faces seen."""
    return Traces(
        {"templates": templates, "gallery entries": galleries, "links of sightings": sightings}
    )


def _enrolment(status: EnrolStatus, record: asyncpg.Record | None) -> Enrolment:
    """The gallery's row as the caller gets it; without a row, as after a template of no gallery."""
    if record is None:
        return Enrolment(status=status, photos=0, revision=0)
    return Enrolment(status=status, photos=record["photos"], revision=record["revision"])
