"""The connection to the vector database: pgvector's version and format, and the models in it."""

import re
from typing import TYPE_CHECKING

from config.settings import DatabaseSettings
from domain.store_rows import Embedding
from sinks.postgres.pool import PostgresSink
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.vector.partitions import DimensionConflictError, ensure_partition
from sinks.vector.vector_format import encode_vector

if TYPE_CHECKING:
    from sinks.postgres.pool import RawConnection

#: The oldest pgvector whose HNSW index survives vacuuming.
PGVECTOR_MINIMUM = "0.8.4"

PGVECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"

MODELS = "SELECT model, dimension FROM gallery_heads ORDER BY model"


class VectorDatabase(PostgresSink):
    """Connects to the vector database, and prepares it for a model.

    All methods of its subclasses raise the errors of `sinks.store_errors`.
    """

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

    async def models(self) -> dict[str, int]:
        """The models that are set up, with the dimension of each."""
        async with self._connection("list the models") as connection:
            records = await connection.fetch(MODELS)
        return {record["model"]: record["dimension"] for record in records}

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
    version = await connection.fetchval(PGVECTOR_VERSION)
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
