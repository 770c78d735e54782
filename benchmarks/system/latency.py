"""From ``ce_time`` to the match event: p50, p95 and p99, and where the time goes.

Frames of one face are published at a steady pace: at 10 a second, then at a share of the maximum
rate that was just measured. The time of the bare models on the same frames is reported with it,
measured before and after.

Run alone: ``python -m benchmarks latency --help``.
"""

import argparse
import asyncio
from functools import partial

from benchmarks.arguments import count, duration, whole
from benchmarks.inference.models import BareModels, bare, measure
from benchmarks.load.backlog import drain
from benchmarks.load.frames import Case, compose, load_faces
from benchmarks.load.paced import paced, percentiles
from benchmarks.load.shots import repeated, shot_now
from benchmarks.report import Report, Result, make_report
from benchmarks.system.servers import running_pipeline, running_servers

STEADY = 10.0
_WARM_UP_FRAMES = 60


async def run(arguments: argparse.Namespace) -> Report:
    """Start everything, measure, stop everything."""
    models = BareModels.load(0)
    faces = load_faces()
    frames = compose(Case(640, 480, arguments.faces), faces)
    cameras = max(1, arguments.cameras)
    work = bare(models.lanes, frames)
    results: list[Result] = []
    async with (
        running_servers(models.settings.threads, faces[:2], models.lanes, 1000) as system,
        running_pipeline(system) as consumer,
    ):
        before = await asyncio.to_thread(measure, work, 2.0)
        await drain(consumer, repeated(frames, _WARM_UP_FRAMES, cameras))
        most = (await drain(consumer, repeated(frames, arguments.frames, cameras))).values
        rates = {
            f"{STEADY:g} frames/s": STEADY,
            "80 % of the most": 0.8 * most["frames_per_second"],
        }
        for name, rate in rates.items():
            shot = partial(shot_now, frames, cameras=cameras)
            one = await paced(consumer, shot, rate, arguments.seconds)
            case = {"pace": name, "faces": arguments.faces}
            values = percentiles(one.latencies) | {"frames_per_second": rate}
            results.append(Result("latency", "pipeline", case, values, one.stages))
        after = await asyncio.to_thread(measure, work, 2.0)
    model_ms = 500 / before["frames_per_second"] + 500 / after["frames_per_second"]
    for result in list(results):
        values = {"model_ms": model_ms, "p95_beside_model_ms": result.values["p95_ms"] - model_ms}
        results.append(Result("latency", "bare models", result.case, values))
    return make_report(results, (), {"cameras": cameras, "seconds": arguments.seconds})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--faces", type=whole, default=1, help="in every frame (default: %(default)s)"
    )
    parser.add_argument(
        "--cameras", type=count, default=8, help="how many send in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=count, default=200, help="to measure the maximum (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=duration, default=20.0, help="of each pace (default: %(default)s)"
    )
