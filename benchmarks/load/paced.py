"""Frames at a steady pace, and the time from ``ce_time`` to the match event."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import numpy as np

from benchmarks.load.backlog import committed
from benchmarks.load.shots import Shot
from benchmarks.load.worker_metrics import stage_seconds
from benchmarks.system.servers import Consumer
from infra.cameras.frame_publisher import FramePublisher
from streams.clients.client_factory import create_consumer
from streams.contract.topics import Topics

_PATIENCE_SECONDS = 60.0
_WITH_FACES = "SELECT count(DISTINCT event_id) FROM faces WHERE starts_with(event_id, $1)"


@dataclass(frozen=True, slots=True)
class Paced:
    """Frames at a pace, and when the first match of each came.

    Attributes:
        latencies: seconds from ``ce_time``, of the frames with a face.
        sent: how many frames.
        stages: milliseconds a batch in each stage.
    """

    latencies: Sequence[float]
    sent: int
    stages: Mapping[str, float]


async def paced(
    consumer: Consumer, shot: Callable[[int], Shot], rate: float, seconds: float
) -> Paced:
    """Publish at a steady pace and await the match of every frame with a face.

    Args:
        consumer: takes the frames.
        shot: makes the frame of a number, from 0 on, at the moment at which it is sent.
        rate: frames a second.
        seconds: for how long.

    Raises:
        TimeoutError: a match did not come.
        StalledError: frames were not processed any more.
    """
    source, count = f"fecapass-benchmark/{uuid4()}", max(2, round(rate * seconds))
    topics = Topics(consumer.settings.kafka.topic_prefix)
    matches = create_consumer(
        consumer.settings.kafka,
        topics.matches,
        auto_offset_reset="latest",
        fetch_max_wait_ms=2 * int(1000 * consumer.settings.kafka.fetch_max_wait),
    )
    before = await stage_seconds(consumer)
    await matches.start()
    try:
        await matches.seek_to_end()
        sent = await _publish(consumer, shot, rate, source, count)
        await committed(consumer, source, count)
        after = await stage_seconds(consumer)
        expected, latencies = await _with_faces(consumer, source), dict[str, float]()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(latencies) < expected:
                message = await matches.getone()
                name = json.loads(message.value)["event_id"]
                if name in sent:
                    # The broker's stamp of the message, not the moment that it is read here.
                    latencies.setdefault(name, message.timestamp / 1000 - sent[name])
    finally:
        await matches.stop()
    stages = {
        name: 1000 * (spent.seconds - before[name].seconds) / (spent.batches - before[name].batches)
        for name, spent in after.items()
        if name in before and spent.batches > before[name].batches
    }
    return Paced(list(latencies.values()), count, stages)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"p{share}_ms": 1000 * float(np.percentile(seconds, share)) for share in (50, 95, 99)}


async def _publish(
    consumer: Consumer, shot: Callable[[int], Shot], rate: float, source: str, count: int
) -> dict[str, float]:
    """The ``ce_time`` of each frame by its id, in seconds since the epoch."""
    sent: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    async with FramePublisher(consumer.settings.kafka, claim_check=False) as publisher:
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(began + number / rate - loop.time())
            one = shot(number)
            event = one.event(source, f"{source}/{number}")
            sent[event.id] = event.captured_at.timestamp()
            await publisher.publish(event, one.jpeg)
        await publisher.flush()
    return sent


async def _with_faces(consumer: Consumer, source: str) -> int:
    connection = await asyncpg.connect(consumer.settings.main_db.dsn)
    try:
        return int(await connection.fetchval(_WITH_FACES, f"{source}/"))
    finally:
        await connection.close()
