"""One partition of ``face_embeddings`` per model, created on demand.

Dimension and meaning of an embedding depend on its model, so each model has its own table, which
checks the dimension. There is no index of embeddings: the search over sightings is exact
(`sinks.vector.sighting_store`).
"""

import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session
    from sinks.postgres.pool import RawConnection

#: As `gallery_heads` checks it; no embedder comes near.
MAX_DIMENSION = 4000

#: Serialises the creation of partitions; any constant would do.
_LOCK = 0x66656361_70617274

LOCK = "SELECT pg_advisory_xact_lock($1)"

EXISTING = """
SELECT dimension, to_regclass($2) IS NOT NULL AS has_partition
FROM (SELECT) AS always LEFT JOIN gallery_heads ON model = $1
"""

# The server quotes what cannot be a parameter. The partition is created separately and then
# attached: that takes no lock that stops readers or writers of other models.
CREATE_STATEMENTS = """
SELECT ARRAY[
    format('CREATE TABLE %1$I (LIKE face_embeddings INCLUDING ALL,
            CONSTRAINT %2$I CHECK (model = %3$L),
            CONSTRAINT %4$I CHECK (vector_dims(embedding) = %5$s))',
           $1::text, $1 || '_model', $2::text, $1 || '_dimension', $3::integer),
    format('ALTER TABLE face_embeddings ATTACH PARTITION %1$I FOR VALUES IN (%2$L)', $1, $2)
]
"""

ADD_HEAD = "INSERT INTO gallery_heads (model, dimension) VALUES ($1, $2) ON CONFLICT DO NOTHING"


class DimensionConflictError(ValueError):
    """The model is there with another dimension."""


def partition_name(model: str) -> str:
    """Name of a model's partition: readable, unique, and a plain SQL identifier.

    It has only letters, digits and underscores, so a statement can contain it unquoted.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")[:20]
    return f"face_embeddings_{readable}_{sha256(model.encode()).hexdigest()[:10]}"


async def ensure_partition(
    connection: "Session | RawConnection", model: str, dimension: int
) -> bool:
    """Make a model's partition and gallery head unless they are there.

    Args:
        connection: to the vector database.
        model: id of the embedder.
        dimension: length of its embeddings.

    Returns:
        Whether anything was made.

    Raises:
        DimensionConflictError: the model is there with another dimension.
        ValueError: the dimension is too large.
    """
    if not 1 <= dimension <= MAX_DIMENSION:
        raise ValueError(f"a dimension of {dimension} is not between 1 and {MAX_DIMENSION}")
    if await _exists(connection, model, dimension):
        return False
    async with connection.transaction():
        await connection.execute(LOCK, _LOCK)
        if await _exists(connection, model, dimension):
            return False
        name = partition_name(model)
        for statement in await connection.fetchval(CREATE_STATEMENTS, name, model, dimension):
            await connection.execute(statement)
        await connection.execute(ADD_HEAD, model, dimension)
    return True


async def _exists(connection: "Session | RawConnection", model: str, dimension: int) -> bool:
    record = await connection.fetchrow(EXISTING, model, partition_name(model))
    assert record is not None, "an outer join with one row gives one row"  # noqa: S101
    there = record["dimension"]
    if there is not None and there != dimension:
        raise DimensionConflictError(
            f"model {model} is stored with dimension {there}, not {dimension}"
        )
    return there is not None and bool(record["has_partition"])
