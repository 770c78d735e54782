"""Has anything grown slower? Ratios measured now against the committed ones.

Only ratios of things measured in turns in the same run count, so neither the machine nor what
else runs on it decides; medians of several rounds do. The whole pipeline is compared with the bare
models by CPU time, including all its processes and servers. A ratio that fell by more than 15 % is
measured once more before the check fails.

Run alone: ``python -m benchmarks check``; ``--write`` commits what it measures.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.gallery.searchers import MatrixProduct, ProductGallery
from benchmarks.gallery.templates import Statistics, draw
from benchmarks.inference.models import BareModels, Work, analysing, bare
from benchmarks.inference.models import measure as measure_models
from benchmarks.load.backlog import deliver, drain
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.system.servers import bare_servers, running_pipeline, running_servers
from benchmarks.system.sinks import BARE, RATE, SINK
from benchmarks.system.sinks import measure as measure_sinks

BASELINE = Path(__file__).parent / "baseline.json"
#: The largest loss that passes.
MOST_LOST = 0.15

_ROUNDS = 7
_FRAMES = 12
_GALLERY = 100_000

_CPU = "cpu_ms_per_frame"
_PIPELINE_ROUNDS, _PIPELINE_FRAMES, _PIPELINE_GALLERY = 3, 120, 1000
_CAMERAS = 8
_BARE_SECONDS = 2.0


def lost(measured: Mapping[str, float], committed: Mapping[str, float]) -> dict[str, float]:
    """The share that each ratio lost, of those that lost more than `MOST_LOST`.

    Args:
        measured: ratios by name.
        committed: the same; names that are in one only do not count.
    """
    shares = {
        name: 1 - measured[name] / value for name, value in committed.items() if name in measured
    }
    return {name: share for name, share in shares.items() if share > MOST_LOST}


def models_ratio(faces: int) -> float:
    """CPU time of the bare models over that of all the detect stage does to a frame."""
    models = BareModels.load(1)
    frames: FrameSet = compose(Case(640, 480, faces), load_faces())
    return _in_turns(bare(models.lanes, frames), analysing(models.lanes, frames, models.limits))


def gallery_ratio(dimension: int) -> float:
    """Time of a matrix product over that of the product's search, for 16 probes."""
    population = draw(Statistics.isotropic(dimension), _GALLERY, 160)
    product, plain = ProductGallery(population.templates), MatrixProduct(population.templates)
    probes = population.probes
    # Threads of the matrix product that spin would be counted for the product's search.
    with threadpool_limits(1):
        return _in_turns(lambda _: plain.search(probes[:16]), lambda _: product.search(probes[:16]))


async def pipeline_ratio(faces: int) -> float:
    """CPU time of the bare models over that of the whole pipeline, its servers included."""
    models, people = BareModels.load(0), load_faces()
    lanes, frames = models.lanes, compose(Case(640, 480, faces), people)
    ratios = []
    async with (
        running_servers(lanes.lanes, people[:2], lanes, _PIPELINE_GALLERY) as system,
        running_pipeline(system) as consumer,
    ):
        await deliver(consumer, frames, _PIPELINE_FRAMES, _CAMERAS)
        for _ in range(_PIPELINE_ROUNDS):
            work = bare(lanes, frames)
            alone = await asyncio.to_thread(measure_models, work, _BARE_SECONDS, lanes.lanes)
            whole = await drain(consumer, frames, _PIPELINE_FRAMES, _CAMERAS)
            ratios.append(alone[_CPU] / whole.values[_CPU])
    return median(ratios)


def _in_turns(reference: Work, subject: Work) -> float:
    """Median over rounds of reference / subject, both in CPU seconds of this process."""
    reference(0)
    subject(0)
    ratios = []
    for _ in range(_ROUNDS):
        spent = []
        for work in (reference, subject):
            began = time.process_time()
            for number in range(_FRAMES):
                work(number)
            spent.append(time.process_time() - began)
        ratios.append(spent[0] / spent[1])
    return median(ratios)


async def sink_ratios() -> dict[str, float]:
    """Every sink compared with its server's bare limit."""
    async with bare_servers() as settings:
        results = await measure_sinks(settings, rounds=15, batch=64)
    rates = {(str(one.case["kind"]), one.subject): one.values[RATE] for one in results}
    kinds = sorted({kind for kind, _ in rates})
    return {f"sink {kind}": rates[kind, SINK] / rates[kind, BARE] for kind in kinds}


_ONE_BY_ONE: Mapping[str, Callable[[], float]] = {
    "detect stage, 1 face": lambda: models_ratio(1),
    "detect stage, 4 faces": lambda: models_ratio(4),
    "gallery 128-d": lambda: gallery_ratio(128),
    "gallery 512-d": lambda: gallery_ratio(512),
}


async def ratios() -> dict[str, float]:
    """All ratios, by name; more is better."""
    measured = {name: await asyncio.to_thread(measured) for name, measured in _ONE_BY_ONE.items()}
    measured["pipeline, 1 face"] = await pipeline_ratio(1)
    return measured | await sink_ratios()


async def run(arguments: argparse.Namespace) -> int:
    """Measure, compare, and report; returns the exit code."""
    measured = await ratios()
    if arguments.write:
        rounded = {name: round(value, 3) for name, value in measured.items()}
        BASELINE.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {BASELINE.name}: {rounded}")
        return 0
    committed: dict[str, float] = json.loads(BASELINE.read_text(encoding="utf-8"))
    if lost(measured, committed):
        print("measured once more, because of:", _told(lost(measured, committed)))
        again = await ratios()
        measured = {name: max(value, again[name]) for name, value in measured.items()}
    if gone := committed.keys() - measured.keys():
        print("committed, but no longer measured:", ", ".join(sorted(gone)))
        return 1
    for name, value in measured.items():
        print(f"{name:24} {value:6.3f}  committed {committed.get(name, np.nan):6.3f}")
    if worse := lost(measured, committed):
        print("slower than committed:", _told(worse))
        return 1
    return 0


def _told(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} by {100 * share:.0f} %" for name, share in shares.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this check."""
    parser.add_argument(
        "--write", action="store_true", help=f"write {BASELINE.name} instead of comparing with it"
    )
