"""Search of enrolled people: how exact, how fast, at which cost.

For galleries of several sizes drawn from a model's statistics, every way to search is measured in
the same way: recall@1 against brute force; rank-1 identification; how many enrolled people are
missed (FNIR) at a threshold that accepts one unknown person in a hundred (FPIR); the time of
one query alone and in batches of 16; building and memory. The product's gallery is also searched
while
people are enrolled and erased.

Run alone: ``python -m benchmarks search --help``.
"""

import argparse
import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from benchmarks.arguments import count, counts, duration, whole
from benchmarks.gallery.searchers import IN_MEMORY, ProductGallery, Rows, user_ids
from benchmarks.gallery.searchers_pg import BREADTHS, PgvectorTable
from benchmarks.gallery.templates import Population, Statistics, Vectors, brute_force, draw
from benchmarks.report import Report, Result, compare, make_report
from benchmarks.system.servers import bare_servers

PRODUCT = "product's gallery"
BATCH = 16
FPIR = 0.01

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LEAST_QUERIES, _MOST_QUERIES = 20, 300
# Dimensions of the built-in embedder, whose statistics a file holds.
_OF_FILE = 128

Search = Callable[[Vectors], tuple[Rows, Vectors]]


def quality(population: Population, truth: Rows, rows: Rows, scores: Vectors) -> dict[str, float]:
    """Recall@1, rank-1 identification, and FNIR at `FPIR`.

    Args:
        population: what was looked for.
        truth: of brute force.
        rows: the best template found for each of the first probes and all unknown people, or -1.
        scores: their cosines.
    """
    enrolled = population.people >= 0
    strangers = np.sort(scores[~enrolled])[::-1]
    threshold = strangers[min(int(FPIR * len(strangers)), len(strangers) - 1)]
    hit = rows[enrolled] == population.people[enrolled]
    return {
        "recall_at_1": float((rows == truth).mean()),
        "rank_1": float(hit.mean()),
        "fnir_at_fpir_1": 1 - float((hit & (scores[enrolled] > threshold)).mean()),
    }


def timing(search: Search, probes: Vectors, seconds: float) -> dict[str, float]:
    """Milliseconds of a query alone (median and 95th percentile) and in batches of `BATCH`."""
    search(probes[:1])
    alone: list[float] = []
    began = time.perf_counter()
    while len(alone) < _MOST_QUERIES and (
        len(alone) < _LEAST_QUERIES or time.perf_counter() - began < seconds
    ):
        probe = probes[len(alone) % len(probes)][None]
        start = time.perf_counter()
        search(probe)
        alone.append(1000 * (time.perf_counter() - start))
    batch = probes[:BATCH]
    search(batch)
    rounds, began = 0, time.perf_counter()
    while rounds < 2 or (rounds < 20 and time.perf_counter() - began < seconds):
        search(batch)
        rounds += 1
    per_query = 1000 * (time.perf_counter() - began) / rounds / BATCH
    return {
        "p50_ms": float(np.median(alone)),
        "p95_ms": float(np.percentile(alone, 95)),
        "batch_ms": per_query,
        "queries_per_second": 1000 / per_query,
    }


def in_memory(name: str, population: Population, truth: Rows, seconds: float) -> Result:
    """Measure one of `IN_MEMORY`."""
    make, _ = IN_MEMORY[name]
    user_ids(len(population.templates))  # not part of building
    gc.collect()
    before, began = _resident(), time.perf_counter()
    searcher = make(population.templates)
    built = time.perf_counter() - began
    values = {"build_s": built, "memory_mib": (_resident() - before) / 2**20}
    values |= timing(searcher.search, population.probes, seconds)
    rows, scores = searcher.search(population.probes)
    values |= quality(population, truth, rows, scores)
    if isinstance(searcher, ProductGallery):
        values |= changing(searcher, population, seconds)
    return Result("search", name, case_of(population), values)


def changing(searcher: ProductGallery, population: Population, seconds: float) -> dict[str, float]:
    """Search while people are entered and erased; every person who stays must be found.

    Returns:
        ``p95_changing_ms`` of a query in the meantime, ``change_ms`` of one entry or erasure, and
        ``wrong_while_changing``: searches that did not find the person best by brute force.
    """
    gallery, stop = searcher.gallery, threading.Event()
    spare = -population.probes[:50]  # of no person: no probe finds these
    newcomers = [UUID(int=2**64 + number) for number in range(len(spare))]
    spent: list[float] = []

    def change() -> None:
        while not stop.is_set():
            for user, vector in zip(newcomers, spare, strict=True):
                start = time.perf_counter()
                gallery.apply([(user, vector)])
                spent.append(1000 * (time.perf_counter() - start))
                stop.wait(0.002)
            for user in newcomers:
                start = time.perf_counter()
                gallery.apply([(user, None)])
                spent.append(1000 * (time.perf_counter() - start))
                stop.wait(0.002)

    expected, _ = searcher.search(population.probes[:200])
    thread = threading.Thread(target=change)
    thread.start()
    alone: list[float] = []
    wrong, began = 0, time.perf_counter()
    try:
        while time.perf_counter() - began < seconds or len(alone) < _LEAST_QUERIES:
            number = len(alone) % len(expected)
            start = time.perf_counter()
            rows, _ = searcher.search(population.probes[number][None])
            alone.append(1000 * (time.perf_counter() - start))
            wrong += int(rows[0] != expected[number])
    finally:
        stop.set()
        thread.join()
    gallery.apply((user, None) for user in newcomers)
    return {
        "p95_changing_ms": float(np.percentile(alone, 95)),
        "change_ms": float(np.median(spent)),
        "wrong_while_changing": float(wrong),
    }


async def in_pgvector(
    table: PgvectorTable, population: Population, truth: Rows, built: float, seconds: float
) -> list[Result]:
    """Measure pgvector without index, then by HNSW at every breadth."""
    loop, results = asyncio.get_running_loop(), []
    case = case_of(population)

    async def measure(name: str, values: dict[str, float], most: int) -> Result:
        def search(probes: Vectors) -> tuple[Rows, Vectors]:
            return asyncio.run_coroutine_threadsafe(table.search(probes), loop).result()

        some = _some(population, most)
        times = await asyncio.to_thread(timing, search, some.probes, seconds)
        found = await table.search(some.probes)
        right = quality(some, truth[_chosen(population, most)], *found)
        return Result("search", name, case, values | times | right)

    await table.use_index(0)
    results.append(await measure("pgvector, no index", {"build_s": built}, 50))
    began = time.perf_counter()
    await table.index(population.templates.shape[1])
    built += time.perf_counter() - began
    for breadth in BREADTHS:
        await table.use_index(breadth)
        name = f"pgvector HNSW, ef_search {breadth}"
        results.append(await measure(name, {"build_s": built}, 500))
    return results


def case_of(population: Population) -> dict[str, str | int]:
    """A gallery as results name it."""
    size, dimension = population.templates.shape
    return {"gallery": size, "dimension": dimension}


def _some(population: Population, most: int) -> Population:
    """Fewer probes, still with a tenth of unknown people."""
    chosen = _chosen(population, most)
    return Population(population.templates, population.probes[chosen], population.people[chosen])


def _chosen(population: Population, most: int) -> Rows:
    return np.arange(0, len(population.people), max(1, len(population.people) // most))


def _resident() -> int:
    """Bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * _PAGE


def statistics_of(arguments: argparse.Namespace) -> Sequence[Statistics]:
    """Isotropic ones; for 128 dimensions those of the default embedder, where the file is given."""
    file: Path | None = arguments.statistics
    return [
        Statistics.load(file)
        if file is not None and dimension == _OF_FILE
        else Statistics.isotropic(dimension)
        for dimension in arguments.dimensions
    ]


async def run(arguments: argparse.Namespace) -> Report:
    """Measure everything."""
    results: list[Result] = []
    for statistics in statistics_of(arguments):
        for size in arguments.galleries:
            results += await _run_gallery(arguments, statistics, size)
    references = sorted({one.subject for one in results} - {PRODUCT})
    ratios = [one for other in references for one in compare(results, PRODUCT, other, "p50_ms")]
    parameters = {"probes": arguments.probes, "statistics": str(arguments.statistics is not None)}
    return make_report(results, ratios, parameters)


async def _run_gallery(
    arguments: argparse.Namespace, statistics: Statistics, size: int
) -> list[Result]:
    population = draw(statistics, size, arguments.probes)
    truth = await asyncio.to_thread(brute_force, population)
    names = [
        name for name, (_, most) in IN_MEMORY.items() if size <= most and arguments.only in name
    ]
    results = [
        await asyncio.to_thread(in_memory, name, population, truth, arguments.seconds)
        for name in names
    ]
    if size <= arguments.pgvector_most and arguments.only in "pgvector":
        async with bare_servers() as settings:
            began = time.perf_counter()
            table = await PgvectorTable.fill(settings.vector_db, population.templates)
            try:
                built = time.perf_counter() - began
                results += await in_pgvector(table, population, truth, built, arguments.seconds)
            finally:
                await table.close()
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--galleries",
        type=counts,
        default=[10_000, 100_000, 1_000_000],
        help="sizes, separated by commas (default: 10000,100000,1000000)",
    )
    parser.add_argument(
        "--statistics",
        type=Path,
        metavar="FILE",
        help="mean, between and within of 128-d embeddings as .npz (default: isotropic)",
    )
    parser.add_argument("--probes", type=count, default=2000, help="searches (default: 2000)")
    parser.add_argument(
        "--pgvector-most",
        type=whole,
        default=100_000,
        help="largest gallery that pgvector is given (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="the ways to search with this in their name (product, numpy, faiss, pgvector)",
    )
    parser.add_argument("--dimensions", type=counts, default=[128, 512], help="default: 128,512")
    parser.add_argument(
        "--seconds", type=duration, default=3.0, help="of each timing (default: %(default)s)"
    )
