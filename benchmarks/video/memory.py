"""Memory of every process under load: two stretches of the same run compared.

Frames of one to three people come at a steady pace; where the machine is slower than the pace,
there is no pause. Of a run of 30 minutes, the minutes 5 to 15 and 20 to 30 are compared (of a
shorter one, the same shares): the medians of the memory that is the process's own, without files
and shared memory such as the buffers of Postgres. The embedded broker keeps every message in
memory, so it grows by what is sent, which is reported too.

Run alone: ``python -m benchmarks memory --help``.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.arguments import count, duration
from benchmarks.load.backlog import deliver
from benchmarks.load.processes import usage
from benchmarks.report import Report, Result, make_report
from benchmarks.system.servers import Consumer
from benchmarks.video.checkouts import HERE_FOLDER, Checkout, deployed, working
from benchmarks.video.scenes import Scene, Studio, add_shared
from domain.events import utc_now

#: What results call the frames.
SENT = "frames sent"

#: Seconds between two samples.
_SLICE_SECONDS = 5.0
_WARM_UP_FRAMES = 64
#: The two stretches, as shares of the run.
_FIRST, _SECOND = (1 / 6, 1 / 2), (2 / 3, 1.0)


class Sample(NamedTuple):
    """One moment of a run.

    Attributes:
        share: how much of the run has passed, 0 to 1.
        mib: own memory of each process, and the size of all `SENT` so far.
    """

    share: float
    mib: Mapping[str, float]


async def load(consumer: Consumer, scene: Scene, rate: float, minutes: float) -> list[Sample]:
    """Send frames at a pace and take samples.

    Args:
        consumer: takes the frames.
        scene: what they show.
        rate: frames a second of all cameras together.
        minutes: for how long.
    """
    samples, sent, turn = list[Sample](), 0, 0
    began, count = time.monotonic(), max(1, round(rate * _SLICE_SECONDS))
    while (passed := time.monotonic() - began) < 60 * minutes:
        shots = list(scene.recorded(count, utc_now(), first=turn))
        await deliver(consumer, shots)
        turn += count // len(scene.cameras)
        sent += sum(len(shot.jpeg) for shot in shots)
        now = {name: used.private_mib for name, used in usage(consumer.pids).items()}
        samples.append(Sample(passed / (60 * minutes), {**now, SENT: sent / 2**20}))
        await asyncio.sleep(began + len(samples) * _SLICE_SECONDS - time.monotonic())
    return samples


def growth(samples: Sequence[Sample], minutes: float) -> list[Result]:
    """Medians of the two stretches, and what was added an hour, by process.

    Args:
        samples: oldest first.
        minutes: of the whole run.

    Raises:
        ValueError: a stretch has no sample.
    """
    first, second = (
        [one for one in samples if begin <= one.share < end] for begin, end in (_FIRST, _SECOND)
    )
    if not first or not second:
        raise ValueError("the run is too short for samples in both stretches")
    hours = minutes / 60 * (sum(_SECOND) - sum(_FIRST)) / 2
    found = []
    for name in samples[0].mib:
        before, after = (median(one.mib[name] for one in part) for part in (first, second))
        measured = {
            "first_mib": before,
            "second_mib": after,
            "grown_mib": after - before,
            "mib_per_hour": (after - before) / hours,
        }
        found.append(Result("memory", name, {"minutes": f"{minutes:g}"}, measured))
    return found


async def run(arguments: argparse.Namespace) -> Report:
    """Start everything, load it, stop everything."""
    rate = arguments.rate / arguments.cameras
    scene = Studio(arguments.shared, 640, 480, arguments.cameras, rate).make("video")
    async with (
        deployed(Checkout("here", HERE_FOLDER)) as deployment,
        working(deployment) as consumer,
    ):
        await deliver(consumer, scene.recorded(_WARM_UP_FRAMES, utc_now(), take="warm-up"))
        samples = await load(consumer, scene, arguments.rate, arguments.minutes)
    results = growth(samples, arguments.minutes)
    return make_report(results, (), {"cameras": arguments.cameras, "rate": arguments.rate})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_shared(parser)
    parser.add_argument(
        "--cameras", type=count, default=8, help="how many send in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=duration, default=10.0, help="of load (default: %(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=duration,
        default=40.0,
        help="frames a second of all cameras together (default: %(default)s)",
    )
