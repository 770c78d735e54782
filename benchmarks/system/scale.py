"""How the pipeline grows: workers, cameras, partitions, and memory under a long load.

One detect worker against two, each pinned to a core and with one thread for its models; cameras
and partitions with one unpinned worker; and the memory of every process before and after a load of
some minutes. The servers share the cores with the workers.

Run alone: ``python -m benchmarks scale --help``.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.arguments import amount, count, counts, whole
from benchmarks.inference.models import BareModels
from benchmarks.load.backlog import Drained, deliver, drain
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.report import Report, Result, compare, make_report
from benchmarks.system.servers import System, running_pipeline, running_servers
from ml.runtime.cpu_cores import available_cores

ONE, TWO = "one pinned worker", "two pinned workers"

_WARM_UP_FRAMES = 48
_GALLERY = 1000
_PAGE = os.sysconf("SC_PAGE_SIZE")


async def workers(system: System, frames: FrameSet, count: int) -> list[Result]:
    """One detect worker on one core, then one on each of two."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    results = []
    for subject, kinds in (
        (ONE, ("detect", "identify")),
        (TWO, ("detect", "detect", "identify")),
    ):
        async with running_pipeline(system, kinds, cores) as consumer:
            await deliver(consumer, frames, _WARM_UP_FRAMES, 8)
            drained = await drain(consumer, frames, count, 8)
        results.append(_result(subject, {"faces": frames.case.faces}, drained))
    return results


async def cameras(
    system: System, frames: FrameSet, count: int, numbers: Sequence[int]
) -> list[Result]:
    """The same frames of few and of many cameras."""
    results = []
    async with running_pipeline(system) as consumer:
        await deliver(consumer, frames, _WARM_UP_FRAMES, 8)
        for number in numbers:
            drained = await drain(consumer, frames, count, number)
            results.append(_result("cameras", {"cameras": number}, drained))
    return results


async def memory(system: System, frames: FrameSet, seconds: float) -> list[Result]:
    """Resident memory after a warm-up and after load without pause."""
    async with running_pipeline(system) as consumer:
        await deliver(consumer, frames, 4 * _WARM_UP_FRAMES, 8)
        before, began = resident(consumer.pids), time.monotonic()
        while time.monotonic() - began < seconds:
            await deliver(consumer, frames, 400, 8)
        after = resident(consumer.pids)
    minutes = (time.monotonic() - began) / 60
    return [
        Result(
            "scale",
            "memory",
            {"process": name},
            {"before_mib": before[name], "after_mib": after[name], "minutes": minutes},
        )
        for name in after
        if name in before
    ]


def resident(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory in MiB by name, children included; empty where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended in the meantime
        children.setdefault(parent, []).append(int(path.parent.name))

    def pages(pid: int) -> int:
        try:
            own = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        except OSError:
            own = 0
        return own + sum(pages(child) for child in children.get(pid, ()))

    return {name: pages(pid) * _PAGE / 2**20 for name, pid in pids.items()}


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
        if arguments.minutes:
            results += await memory(system, frames, 60 * arguments.minutes)
    for number in arguments.partitions:
        more = {
            f"FECAPASS_KAFKA__{topic}_PARTITIONS": str(number)
            for topic in ("FRAMES", "UPLOADS", "DETECTED", "MATCHES")
        }
        async with (
            running_servers(threads, faces[:2], models.lanes, _GALLERY, more) as system,
            running_pipeline(system) as consumer,
        ):
            await deliver(consumer, frames, _WARM_UP_FRAMES, 32)
            drained = await drain(consumer, frames, arguments.frames, 32)
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
    parser.add_argument(
        "--minutes", type=amount, default=10.0, help="of load for the memory; 0: none (default: 10)"
    )


def _result(subject: str, case: Mapping[str, str | int], drained: Drained) -> Result:
    return Result("scale", subject, case, drained.values, drained.details)
