"""How the pipeline grows: workers, cameras, partitions.

One detect worker against two, each pinned to a core and with one thread for its models; cameras
and partitions with one unpinned worker. The servers share the cores with the workers.

Run alone: ``python -m benchmarks scale --help``.
"""

import argparse
import os
from collections.abc import Mapping, Sequence

from benchmarks.arguments import count, counts, whole
from benchmarks.inference.models import BareModels
from benchmarks.load.backlog import Drained, deliver, drain
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.load.shots import repeated
from benchmarks.report import Report, Result, compare, make_report
from benchmarks.system.servers import System, running_pipeline, running_servers
from ml.runtime.cpu_cores import available_cores

ONE, TWO = "one pinned worker", "two pinned workers"

_WARM_UP_FRAMES = 48
_GALLERY = 1000


async def workers(system: System, frames: FrameSet, count: int) -> list[Result]:
    """One detect worker on one core, then one on each of two."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    results = []
    for subject, kinds in (
        (ONE, ("detect", "identify")),
        (TWO, ("detect", "detect", "identify")),
    ):
        async with running_pipeline(system, kinds, cores) as consumer:
            await deliver(consumer, repeated(frames, _WARM_UP_FRAMES, 8))
            drained = await drain(consumer, repeated(frames, count, 8))
        results.append(_result(subject, {"faces": frames.case.faces}, drained))
    return results


async def cameras(
    system: System, frames: FrameSet, count: int, numbers: Sequence[int]
) -> list[Result]:
    """The same frames of few and of many cameras."""
    results = []
    async with running_pipeline(system) as consumer:
        await deliver(consumer, repeated(frames, _WARM_UP_FRAMES, 8))
        for number in numbers:
            drained = await drain(consumer, repeated(frames, count, number))
            results.append(_result("cameras", {"cameras": number}, drained))
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Start everything, measure, stop everything."""
    models = BareModels.load(1)
    faces = load_faces()
    frames = compose(Case(640, 480, arguments.faces), faces)
    results: list[Result] = []
    async with running_servers(1, faces[:2], models.lanes, _GALLERY) as system:
        results += await workers(system, frames, arguments.frames)
    threads = available_cores()
    async with running_servers(threads, faces[:2], models.lanes, _GALLERY) as system:
        results += await cameras(system, frames, arguments.frames, arguments.cameras)
    for number in arguments.partitions:
        more = {
            f"FECAPASS_KAFKA__{topic}_PARTITIONS": str(number)
            for topic in ("FRAMES", "UPLOADS", "DETECTED", "MATCHES")
        }
        async with (
            running_servers(threads, faces[:2], models.lanes, _GALLERY, more) as system,
            running_pipeline(system) as consumer,
        ):
            await deliver(consumer, repeated(frames, _WARM_UP_FRAMES, 32))
            drained = await drain(consumer, repeated(frames, arguments.frames, 32))
            results.append(_result("partitions", {"partitions": number}, drained))
    return make_report(results, compare(results, TWO, ONE), {"frames": arguments.frames})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--faces", type=whole, default=1, help="in every frame (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=count, default=300, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument("--cameras", type=counts, default=[1, 8, 32], help="default: 1,8,32")
    parser.add_argument("--partitions", type=counts, default=[1, 8, 32], help="default: 1,8,32")


def _result(subject: str, case: Mapping[str, str | int], drained: Drained) -> Result:
    return Result("scale", subject, case, drained.values, drained.details)
