"""Frames per second from Kafka to the committed row, compared with the bare models.

All are measured on the same frames.

In one run, for every case: the bare models, the whole pipeline, the bare models again (their mean
counts, so that a machine that grows slower in the meantime favours neither), and OpenCV's own
classes; then, with the pipeline's workers stopped, a naive consumer of one frame at a time. All
have the same number of threads for their models; the bare models use them in several ways
(`ONE_LOOP`, `LOOPS`, `OPENVINO_LOOPS` in `benchmarks.inference.models`). The servers run on the
same cores.

The pipeline is given all frames of a case at once and drains this backlog; its rate is that of
the ledger's commits, without start-up (`benchmarks.load.backlog.steady_rate`).

Run alone: ``python -m benchmarks pipeline --help``.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.arguments import add_common, cases_of, count, whole
from benchmarks.inference import models
from benchmarks.inference.models import (
    LOOPS,
    ONE_LOOP,
    OPENCV,
    OPENVINO_LOOPS,
    PROVIDERS,
    BareModels,
)
from benchmarks.load.backlog import deliver, drain
from benchmarks.load.frames import FrameSet, compose, load_faces
from benchmarks.load.shots import repeated
from benchmarks.report import Ratio, Report, Result, compare, make_report
from benchmarks.system.servers import (
    Consumer,
    System,
    running_naive,
    running_pipeline,
    running_servers,
)

PIPELINE = "pipeline"
NAIVE = "naive consumer"

_WARM_UP_FRAMES = 24
#: A consumer that commits batches needs more frames before its commits give a rate.
_LEAST_FRAMES = {PIPELINE: 48, NAIVE: 16}
_MOST_FRAMES = 2000
#: The expected ratio of each to the bare models; it sets how many frames are published.
_EXPECTED = {PIPELINE: 0.7, NAIVE: 0.3}


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements of a run share.

    Attributes:
        models: the bare models.
        seconds: about how long each measurement takes.
        cameras: how many send in turns.
    """

    models: BareModels
    seconds: float
    cameras: int

    async def warm_up(self, consumer: Consumer, frames: FrameSet) -> None:
        """Until frames come through, a consumer is still joining its group."""
        await deliver(consumer, repeated(frames, _WARM_UP_FRAMES, self.cameras))

    async def drain(
        self, consumer: Consumer, subject: str, frames: FrameSet, bare: float
    ) -> Result:
        """Measure a consumer; ``bare`` is the bare models' rate in frames a second."""
        wanted = bare * _EXPECTED[subject] * self.seconds
        count = round(min(max(wanted, _LEAST_FRAMES[subject]), _MOST_FRAMES))
        drained = await drain(consumer, repeated(frames, count, self.cameras))
        return Result(
            "pipeline", subject, models.case_key(frames.case), drained.values, drained.details
        )


async def run_case(bench: Bench, consumer: Consumer, frames: FrameSet) -> list[Result]:
    """The pipeline, with the bare models before and after it, and OpenCV."""
    case, half = frames.case, bench.seconds / 2
    before = await asyncio.to_thread(models.measure_bare, bench.models, frames, half)
    pipeline = await bench.drain(consumer, PIPELINE, frames, before[LOOPS]["frames_per_second"])
    after = await asyncio.to_thread(models.measure_bare, bench.models, frames, half)
    opencv = models.opencv(frames, bench.models.settings)
    return [
        *(models.result(name, case, models.mean(before[name], after[name])) for name in before),
        pipeline,
        models.result(OPENCV, case, await asyncio.to_thread(models.measure, opencv, half)),
    ]


async def run_naive(
    bench: Bench, system: System, sets: Sequence[FrameSet], results: Sequence[Result]
) -> list[Result]:
    """The naive consumer on all cases; ``results`` contain the bare models' rates."""
    rates = {
        tuple(one.case.items()): one.values["frames_per_second"]
        for one in results
        if one.subject == LOOPS
    }
    async with running_naive(system) as consumer:
        await bench.warm_up(consumer, sets[0])
        return [
            await bench.drain(
                consumer, NAIVE, frames, rates[tuple(models.case_key(frames.case).items())]
            )
            for frames in sets
        ]


def ratios(results: Sequence[Result]) -> list[Ratio]:
    """The pipeline compared with each of the others."""
    others = (ONE_LOOP, LOOPS, OPENVINO_LOOPS, OPENCV, NAIVE)
    return [one for other in others for one in compare(results, PIPELINE, other)]


async def run(arguments: argparse.Namespace) -> Report:
    """Start everything, measure every case, stop everything."""
    bare = BareModels.load(arguments.threads, arguments.provider, arguments.precision)
    bench = Bench(bare, arguments.seconds, max(1, arguments.cameras))
    faces = load_faces(arguments.portraits)
    sets = [compose(case, faces) for case in cases_of(arguments)]
    results: list[Result] = []
    variables = {
        f"FECAPASS_MODELS__{name.upper()}": value
        for name, value in PROVIDERS[arguments.provider].items()
    } | {"FECAPASS_MODELS__EMBEDDER_PRECISION": arguments.precision}
    async with running_servers(
        bare.settings.threads, faces[:2], bare.chosen, arguments.gallery, variables
    ) as system:
        async with running_pipeline(system) as consumer:
            await bench.warm_up(consumer, sets[0])
            for frames in sets:
                results += await run_case(bench, consumer, frames)
        if not arguments.no_naive:
            results += await run_naive(bench, system, sets, results)
    parameters = {
        "threads": bare.settings.threads,
        "provider": bare.chosen.provider,
        "precision": bare.chosen.precision,
        "cameras": bench.cameras,
        "gallery": arguments.gallery,
    }
    return make_report(results, ratios(results), parameters)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser, by_default=5.0)
    models.add_provider(parser)
    parser.add_argument(
        "--cameras", type=count, default=8, help="how many send in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--gallery",
        type=whole,
        default=1000,
        help="people in the gallery in addition to those in the frames (default: %(default)s)",
    )
    parser.add_argument("--no-naive", action="store_true", help="leave the naive consumer out")
