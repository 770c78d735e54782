"""The same search in pgvector: by HNSW at several breadths, and without an index."""

import asyncpg
import numpy as np

from benchmarks.gallery.searchers import Rows
from benchmarks.gallery.templates import Vectors
from config.settings import DatabaseSettings
from sinks.vector.vector_format import encode_vector

BREADTHS = (40, 100, 200, 400, 800)

_TABLE = "benchmark_gallery"
_BEST = """
SELECT id, 1 - (embedding <=> $1::vector) AS similarity FROM benchmark_gallery
ORDER BY embedding::halfvec({dimension}) <=> $1::vector::halfvec({dimension}) LIMIT 1
"""


class PgvectorTable:
    """A table of templates; one query at a time, over one connection."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", dimension: int) -> None:
        self._connection = connection
        self._best = _BEST.format(dimension=dimension)

    @classmethod
    async def fill(cls, settings: DatabaseSettings, templates: Vectors) -> "PgvectorTable":
        """Copy the templates into a new table."""
        connection = await asyncpg.connect(settings.dsn)
        await connection.set_type_codec(
            "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
        )
        dimension = templates.shape[1]
        await connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        await connection.execute(
            f"CREATE UNLOGGED TABLE {_TABLE} (id integer, embedding vector({dimension}))"
        )
        await connection.copy_records_to_table(
            _TABLE,
            records=((row, encode_vector(vector)) for row, vector in enumerate(templates)),
        )
        await connection.execute(f"VACUUM ANALYZE {_TABLE}", timeout=600)
        return cls(connection, dimension)

    async def index(self, dimension: int) -> None:
        """Build the HNSW index, with pgvector's default parameters."""
        await self._connection.execute("SET maintenance_work_mem = '1GB'")
        await self._connection.execute(
            f"CREATE INDEX ON {_TABLE} "
            f"USING hnsw ((embedding::halfvec({dimension})) halfvec_cosine_ops)",
            timeout=1800,
        )

    async def use_index(self, breadth: int) -> None:
        """Search by HNSW with this ef_search; 0 forbids the index."""
        await self._connection.execute(f"SET enable_indexscan = {'on' if breadth else 'off'}")
        if breadth:
            await self._connection.execute(f"SET hnsw.ef_search = {breadth}")

    async def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """Row and cosine of the best template for each probe, one after the other."""
        found = [await self._connection.fetchrow(self._best, encode_vector(one)) for one in probes]
        rows = np.array([-1 if one is None else one["id"] for one in found], np.int64)
        scores = [-1.0 if one is None else one["similarity"] for one in found]
        return rows, np.array(scores, np.float32)

    async def close(self) -> None:
        """Drop the table."""
        await self._connection.execute(f"DROP TABLE {_TABLE}")
        await self._connection.close()
