"""Sightings like a face: how complete and how fast, exact and by HNSW, and what the index costs.

Sightings are drawn from a model's statistics: people who are seen several times in thirty days.
Each probe is one of the sightings. "recall" is the share of the most similar sightings that a
search finds, "recall_of_person" the share of those of them that show the probe's own person. The
exact search is the product's; for HNSW the benchmark makes the index that partitions once had.

Run alone: ``python -m benchmarks similar --help``.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from benchmarks.arguments import count, counts
from benchmarks.gallery.search import statistics_of
from benchmarks.gallery.templates import Statistics, Vectors
from benchmarks.report import Report, Result, compare, make_report
from benchmarks.system.servers import bare_servers
from config.settings import DatabaseSettings
from domain.store_rows import Sighting
from ml.recognition.embedders import unit_rows
from sinks.vector.partitions import partition_name
from sinks.vector.vector_format import encode_vector
from sinks.vector.vector_store import Vectors as VectorStore

MODEL = "benchmark"
EXACT = "exact"

_SEED = 20_261
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_DAYS = 30
#: Sightings in one statement, as an identify worker writes them.
_BATCH = 64
_WRITTEN = 1920

Rows: TypeAlias = npt.NDArray[np.int64]
Search: TypeAlias = Callable[[Vectors, int, datetime | None], Awaitable[Sequence[UUID]]]

_INSERT_AS_COPIED = ("face_id", "model", "kind", "embedding", "captured_at")
_NEAREST = """
WITH nearest AS MATERIALIZED (
    SELECT face_id, embedding FROM {partition}
    WHERE kind = 'sighting' AND ($3::timestamptz IS NULL OR captured_at >= $3)
    ORDER BY embedding::halfvec({dimension}) <=> $1::vector::halfvec({dimension}) LIMIT $2
)
SELECT face_id FROM nearest ORDER BY embedding <=> $1::vector
"""


@dataclass(frozen=True, slots=True)
class Sightings:
    """What cameras have seen, in the order of time.

    Attributes:
        embeddings: float32 (N, D) of length 1.
        people: (N,), who each one is.
        probes: rows that are looked for.
    """

    embeddings: Vectors
    people: Rows
    probes: Rows

    def at(self, row: int) -> datetime:
        """When a sighting was captured: evenly in thirty days."""
        return _BEGIN + timedelta(days=_DAYS * row / len(self.people))

    def first_of(self, share: float) -> int:
        """The first row of the last share of the time."""
        return round(len(self.people) * (1 - share))


def draw(statistics: Statistics, size: int, each: int, probes: int) -> Sightings:
    """Draw sightings of ``size / each`` people; the same arguments give the same numbers."""
    random = np.random.default_rng((_SEED, size, each))
    dimension = len(statistics.mean)
    own = random.standard_normal((max(1, size // each), dimension), np.float32)
    means = statistics.mean + own @ statistics.between.T
    people = random.integers(0, len(means), size)
    embeddings = np.empty((size, dimension), np.float32)
    for start in range(0, size, 100_000):
        part = people[start : start + 100_000]
        noise = random.standard_normal((len(part), dimension), np.float32)
        embeddings[start : start + len(part)] = unit_rows(means[part] + noise @ statistics.within.T)
    return Sightings(embeddings, people, random.choice(size, min(size, probes), replace=False))


def nearest(sightings: Sightings, row: int, limit: int, share: float) -> Rows:
    """The rows most like one, best first, without itself, in the last share of the time."""
    first = sightings.first_of(share)
    scores = sightings.embeddings[first:] @ sightings.embeddings[row]
    if row >= first:
        scores[row - first] = -2.0
    best = np.argpartition(-scores, min(limit, len(scores) - 1))[:limit]
    return best[np.argsort(-scores[best])] + first


def recalls(sightings: Sightings, truth: Sequence[Rows], found: Sequence[Rows]) -> dict[str, float]:
    """See the module's text; each over all probes together.

    Args:
        sightings: what was searched.
        truth: for each probe, the rows most like it.
        found: for each probe, what a search found, in any order.
    """
    hits = [np.isin(wanted, rows) for wanted, rows in zip(truth, found, strict=True)]
    own = [
        sightings.people[wanted] == sightings.people[probe]
        for probe, wanted in zip(sightings.probes, truth, strict=True)
    ]
    of_person = np.concatenate([hit[mine] for hit, mine in zip(hits, own, strict=True)])
    return {
        "recall": float(np.concatenate(hits).mean()),
        "recall_of_person": float(of_person.mean()) if len(of_person) else 1.0,
    }


async def run(arguments: argparse.Namespace) -> Report:
    """Measure everything."""
    results: list[Result] = []
    for statistics in statistics_of(arguments):
        for size in arguments.sightings:
            async with bare_servers() as settings:
                results += await _measured(arguments, settings.vector_db, statistics, size)
    others = sorted({one.subject for one in results} - {EXACT})
    ratios = [one for other in others for one in compare(results, EXACT, other, "p50_ms")]
    parameters = {"probes": arguments.probes, "each": arguments.each, "limit": arguments.limit}
    return make_report(results, ratios, parameters)


async def _measured(
    arguments: argparse.Namespace, settings: DatabaseSettings, statistics: Statistics, size: int
) -> list[Result]:
    sightings = draw(statistics, size, arguments.each, arguments.probes)
    dimension = sightings.embeddings.shape[1]
    case = {"sightings": size, "dimension": dimension}
    async with VectorStore(settings) as vectors:
        await vectors.ensure_model(MODEL, dimension)
        connection = await _connected(settings)
        try:
            await _fill(connection, sightings)
            results = [await _written(vectors, sightings, EXACT, case, {})]
            exact = _exact(vectors, arguments.limit)
            results += await _searched(sightings, EXACT, exact, case, arguments)
            built = await _index(connection, dimension)
            results.append(await _written(vectors, sightings, "HNSW", case, built))
            for breadth in arguments.breadths:
                by_index = _by_index(connection, arguments.limit, dimension, breadth)
                name = f"HNSW, ef_search {breadth}"
                results += await _searched(sightings, name, by_index, case, arguments)
        finally:
            await connection.close()
    return results


async def _connected(settings: DatabaseSettings) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(settings.dsn)
    await connection.set_type_codec(
        "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
    )
    return connection


async def _fill(connection: "asyncpg.Connection[asyncpg.Record]", sightings: Sightings) -> None:
    partition = partition_name(MODEL)
    await connection.copy_records_to_table(
        partition,
        records=(
            (UUID(int=row), MODEL, "sighting", encode_vector(vector), sightings.at(row))
            for row, vector in enumerate(sightings.embeddings)
        ),
        columns=_INSERT_AS_COPIED,
        timeout=3600,
    )
    await connection.execute(f"VACUUM ANALYZE {partition}", timeout=600)


async def _index(
    connection: "asyncpg.Connection[asyncpg.Record]", dimension: int
) -> dict[str, float]:
    """Make the index that partitions once had, with pgvector's default parameters."""
    partition, began = partition_name(MODEL), time.perf_counter()
    await connection.execute("SET maintenance_work_mem = '1GB'")
    await connection.execute(
        f"CREATE INDEX benchmark_hnsw ON {partition} "
        f"USING hnsw ((embedding::halfvec({dimension})) halfvec_cosine_ops) "
        "WHERE kind = 'sighting'",
        timeout=7200,
    )
    seconds = time.perf_counter() - began
    size = await connection.fetchval("SELECT pg_relation_size('benchmark_hnsw')")
    return {"build_s": seconds, "index_mib": size / 2**20}


async def _written(
    vectors: VectorStore, sightings: Sightings, name: str, case: dict[str, str | int],
    values: dict[str, float],
) -> Result:  # fmt: skip
    """Write further sightings as a worker does, and delete them again."""
    random = np.random.default_rng(1)
    like = sightings.embeddings[random.integers(0, len(sightings.people), _WRITTEN)]
    further = unit_rows(like + 0.05 * random.standard_normal(like.shape, np.float32))
    rows = [
        Sighting(face_id=UUID(int=2**64 + n), user_id=None, embedding=one, captured_at=_BEGIN)
        for n, one in enumerate(further)
    ]
    spent = []
    for start in range(0, len(rows), _BATCH):
        began = time.perf_counter()
        await vectors.add_sightings(MODEL, rows[start : start + _BATCH])
        spent.append(1000 * (time.perf_counter() - began) / _BATCH)
    await vectors.delete_sightings([row.face_id for row in rows])
    values = values | {"write_ms": float(np.median(spent))}
    return Result("writes", name, case, values)


def _exact(vectors: VectorStore, limit: int) -> Search:
    async def search(probe: Vectors, row: int, since: datetime | None) -> Sequence[UUID]:
        found = await vectors.similar_sightings(
            probe, MODEL, limit, since=since, without=[UUID(int=row)]
        )
        return [one.face_id for one in found]

    return search


def _by_index(
    connection: "asyncpg.Connection[asyncpg.Record]", limit: int, dimension: int, breadth: int
) -> Search:
    statement = _NEAREST.format(partition=partition_name(MODEL), dimension=dimension)

    async def search(probe: Vectors, row: int, since: datetime | None) -> Sequence[UUID]:
        async with connection.transaction(readonly=True):
            # As the product once searched: filters apply after the index, so scans are iterative.
            await connection.execute(
                "SELECT set_config('hnsw.ef_search', $1, true),"
                " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
                " set_config('enable_seqscan', 'off', true),"
                " set_config('plan_cache_mode', 'force_custom_plan', true)",
                str(breadth),
            )
            found = await connection.fetch(statement, encode_vector(probe), limit + 1, since)
        return [one[0] for one in found if one[0].int != row][:limit]

    return search


async def _searched(
    sightings: Sightings, name: str, search: Search, case: dict[str, str | int],
    arguments: argparse.Namespace,
) -> list[Result]:  # fmt: skip
    """Search all of the time, and its last day."""
    results = []
    for text, share in (("30 days", 1.0), ("1 day", 1 / _DAYS)):
        since = None if share == 1 else sightings.at(sightings.first_of(share))
        spent, found = [], []
        for row in map(int, sightings.probes):
            began = time.perf_counter()
            ids = await search(sightings.embeddings[row], row, since)
            spent.append(1000 * (time.perf_counter() - began))
            found.append(np.array([one.int for one in ids], np.int64))
        truth = [nearest(sightings, int(row), arguments.limit, share) for row in sightings.probes]
        values = {
            "p50_ms": float(np.median(spent)),
            "p95_ms": float(np.percentile(spent, 95)),
            **recalls(sightings, truth, found),
        }
        results.append(Result("similar", name, {**case, "time": text}, values))
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--sightings",
        type=counts,
        default=[100_000, 1_000_000],
        help="how many, separated by commas (default: 100000,1000000)",
    )
    parser.add_argument(
        "--each", type=count, default=20, help="sightings of a person (default: %(default)s)"
    )
    parser.add_argument("--probes", type=count, default=100, help="default: %(default)s")
    parser.add_argument(
        "--limit", type=count, default=50, help="sightings of an answer (default: %(default)s)"
    )
    parser.add_argument(
        "--breadths", type=counts, default=[200, 800], help="ef_search (default: 200,800)"
    )
    parser.add_argument(
        "--statistics",
        type=Path,
        metavar="FILE",
        help="mean, between and within of 128-d embeddings as .npz (default: isotropic)",
    )
    parser.add_argument("--dimensions", type=counts, default=[128], help="default: 128")
