"""From ``ce_time`` to the match event: p50, p95 and p99, and where the time goes.

Frames of one face are published at a steady pace: at 10 a second, then at a share of the maximum
rate that was just measured. The time of the bare models on the same frames is reported with it,
measured before and after.

Run alone: ``python -m benchmarks latency --help``.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np

from benchmarks.arguments import count, duration, whole
from benchmarks.inference.models import BareModels, bare, measure
from benchmarks.load.backlog import drain, stage_seconds
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.report import Report, Result, make_report
from benchmarks.system.servers import Consumer, running_pipeline, running_servers
from domain.events import EventKind, ImageEvent, utc_now
from infra.cameras.frame_publisher import FramePublisher
from streams.clients.client_factory import create_consumer
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json

STEADY = 10.0
_PATIENCE_SECONDS = 60.0
_WARM_UP_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Paced:
    """Frames at a pace, and when the first match of each was read.

    Attributes:
        latencies: seconds from ``ce_time``.
        sent: how many frames.
        stages: milliseconds a batch in each stage.
    """

    latencies: Sequence[float]
    sent: int
    stages: Mapping[str, float]


async def paced(
    consumer: Consumer, frames: FrameSet, rate: float, seconds: float, cameras: int
) -> Paced:
    """Publish at a steady pace and await the match of every frame.

    Raises:
        TimeoutError: a match did not come.
    """
    source, count = f"fecapass-benchmark/{uuid4()}", max(2, round(rate * seconds))
    topics = Topics(consumer.settings.kafka.topic_prefix)
    matches = create_consumer(
        consumer.settings.kafka,
        topics.matches,
        auto_offset_reset="latest",
        fetch_max_wait_ms=2 * int(1000 * consumer.settings.kafka.fetch_max_wait),
    )
    await matches.start()
    await matches.seek_to_end()
    sent: dict[str, float] = {}
    latencies: dict[str, float] = {}
    loop = asyncio.get_running_loop()

    async def collect() -> None:
        async for message in matches:
            match = match_from_json(message.value)
            if match.event_id in sent and match.event_id not in latencies:
                # The broker's stamp of the message, not the moment that this process reads it.
                latencies[match.event_id] = message.timestamp / 1000 - sent[match.event_id]
                if len(latencies) == count:
                    return

    before = await stage_seconds(consumer)
    try:
        collecting = asyncio.create_task(collect())
        async with FramePublisher(consumer.settings.kafka, claim_check=False) as publisher:
            began = loop.time()
            for number in range(count):
                await asyncio.sleep(began + number / rate - loop.time())
                event = ImageEvent(
                    kind=EventKind.FRAME,
                    source=source,
                    id=f"{source}/{number}",
                    key=f"camera-{number % cameras}",
                    captured_at=utc_now(),
                )
                sent[event.id] = event.captured_at.timestamp()
                await publisher.publish(event, frames.jpegs[number % len(frames.jpegs)])
            await publisher.flush()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await collecting
    finally:
        await matches.stop()
    after = await stage_seconds(consumer)
    stages = {
        name: 1000 * (spent.seconds - before[name].seconds) / (spent.batches - before[name].batches)
        for name, spent in after.items()
        if name in before and spent.batches > before[name].batches
    }
    return Paced(list(latencies.values()), count, stages)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"p{share}_ms": 1000 * float(np.percentile(seconds, share)) for share in (50, 95, 99)}


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
        await drain(consumer, frames, _WARM_UP_FRAMES, cameras)
        most = (await drain(consumer, frames, arguments.frames, cameras)).values
        rates = {
            f"{STEADY:g} frames/s": STEADY,
            "80 % of the most": 0.8 * most["frames_per_second"],
        }
        for name, rate in rates.items():
            one = await paced(consumer, frames, rate, arguments.seconds, cameras)
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
