"""Ratios of things that are measured in turns in this process, and of the sinks."""

import time
from collections.abc import Callable, Mapping
from statistics import median

from threadpoolctl import threadpool_limits

from benchmarks.gallery.searchers import MatrixProduct, ProductGallery
from benchmarks.gallery.templates import Statistics, draw
from benchmarks.inference.models import BareModels, Work, analysing, bare
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.system.servers import bare_servers
from benchmarks.system.sinks import BARE, RATE, SINK
from benchmarks.system.sinks import measure as measure_sinks

_ROUNDS = 7
_FRAMES = 12
_GALLERY = 100_000


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


async def sink_ratios() -> dict[str, float]:
    """Every sink compared with its server's bare limit."""
    async with bare_servers() as settings:
        results = await measure_sinks(settings, rounds=15, batch=64)
    rates = {(str(one.case["kind"]), one.subject): one.values[RATE] for one in results}
    kinds = sorted({kind for kind, _ in rates})
    return {f"sink {kind}": rates[kind, SINK] / rates[kind, BARE] for kind in kinds}


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


#: By name; more is better.
ONE_BY_ONE: Mapping[str, Callable[[], float]] = {
    "detect stage, 1 face": lambda: models_ratio(1),
    "detect stage, 4 faces": lambda: models_ratio(4),
    "gallery 128-d": lambda: gallery_ratio(128),
    "gallery 512-d": lambda: gallery_ratio(512),
}
