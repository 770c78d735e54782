"""From a visit's first picture to its announcement, on the running pipeline.

The labelled clips of signers are sent frame by frame, each to a camera of its own, at a steady
pace. The signers are enrolled from clips that are not sent. The time is that from ``ce_time`` of
the frame with the first face to Kafka's time of ``fecapass.visit.started``.

Run alone: ``python -m benchmarks visit_starts --help``.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

import cv2
import msgspec

from benchmarks.arguments import add_shared, count, duration
from benchmarks.inference.models import BareModels
from benchmarks.load.frames import Picture
from benchmarks.load.paced import percentiles
from benchmarks.load.shots import Shot
from benchmarks.report import Report, Result, make_report
from benchmarks.system.servers import (
    TRACKING,
    Consumer,
    enrol_templates,
    running_pipeline,
    running_servers,
)
from benchmarks.visits.clip_labels import ENROLLED_FROM, SIGNERS
from benchmarks.visits.detected_scenes import load_clips, templates
from domain.events import utc_now
from domain.visit_events import VisitType
from infra.cameras.frame_publisher import FramePublisher
from streams.clients.client_factory import create_consumer
from streams.contract.topics import Topics

_CLIP_RATE = 25
_PATIENCE_SECONDS = 60.0


class _Pace(NamedTuple):
    """How fast and how long each clip is sent."""

    rate: int
    seconds: float


class _Started(msgspec.Struct):
    """What is read of ``faces.visits``."""

    camera_id: str
    user_id: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class _Start:
    """When a visit was announced, in seconds after its first face."""

    known: bool
    seconds: float


async def run(arguments: argparse.Namespace) -> Report:
    """Start everything, measure, stop everything."""
    models = BareModels.load(0)
    clips = load_clips(arguments.shared)
    people = list(templates(models.lanes, clips).values())
    pace = _Pace(arguments.rate, arguments.seconds)
    shown = {name: clips[name] for name in SIGNERS if name not in ENROLLED_FROM}
    async with running_servers(
        models.settings.threads, (), models.lanes, 1000, {TRACKING: "on"}
    ) as system:
        await enrol_templates(system.settings, models.lanes.embedder.id, people)
        async with running_pipeline(system, ("detect", "identify", "follow")) as consumer:
            # The first visits warm the workers up.
            await _starts(consumer, list(shown.values())[:1], pace)
            pictures = [
                clip[offset * len(clip) // arguments.times :]
                for offset in range(arguments.times)
                for clip in shown.values()
            ]
            found = await _starts(consumer, pictures, pace)
    results = []
    for known in (True, False):
        starts = [one for one in found if one.known is known]
        if starts:
            case: dict[str, str | int] = {"pace": f"{pace.rate} frames/s", "visits": len(starts)}
            values = percentiles([one.seconds for one in starts])
            subject = "known" if known else "unknown"
            results.append(Result("first face to started", subject, case, values))
    return make_report(results, (), {"rate": arguments.rate, "seconds": arguments.seconds})


async def _starts(
    consumer: Consumer, clips: Sequence[Sequence[Picture]], pace: _Pace
) -> list[_Start]:
    """Send each clip, one after the other, and await the announcement of a visit of each.

    Raises:
        TimeoutError: a visit was not announced.
    """
    topic = Topics(consumer.settings.kafka.topic_prefix).visits
    visits = create_consumer(consumer.settings.kafka, topic, auto_offset_reset="latest")
    await visits.start()
    try:
        await visits.seek_to_end()
        cameras = []
        async with FramePublisher(consumer.settings.kafka, claim_check=False) as publisher:
            for clip in clips:
                cameras.append(f"camera-{uuid4().hex[:8]}")
                await _play(publisher, clip, cameras[-1], pace)
            await publisher.flush()
        found: dict[str, _Start] = {}
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(found) < len(cameras):
                message = await visits.getone()
                kind = dict(message.headers)["ce_type"].decode()
                visit = msgspec.json.decode(message.value, type=_Started)
                if kind == VisitType.STARTED and visit.camera_id in cameras:
                    waited = message.timestamp / 1000 - visit.started_at.timestamp()
                    start = _Start(known=visit.user_id is not None, seconds=waited)
                    found.setdefault(visit.camera_id, start)
    finally:
        await visits.stop()
    return list(found.values())


async def _play(
    publisher: FramePublisher, clip: Sequence[Picture], camera: str, pace: _Pace
) -> None:
    """Send a clip again and again for so many seconds."""
    loop = asyncio.get_running_loop()
    step, began = _CLIP_RATE / pace.rate, loop.time()
    for number in range(round(pace.rate * pace.seconds)):
        await asyncio.sleep(began + number / pace.rate - loop.time())
        picture = clip[round(number * step) % len(clip)]
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        shot = Shot(camera, utc_now(), data)
        await publisher.publish(shot.event("fecapass-benchmark", f"{camera}/{number}"), shot.jpeg)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_shared(parser, "labelled clips")
    parser.add_argument(
        "--rate", type=count, default=10, help="frames a second (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=duration, default=4.0, help="of each visit (default: %(default)s)"
    )
    parser.add_argument(
        "--times",
        type=count,
        default=3,
        help="how often each clip is shown, each time from another frame (default: %(default)s)",
    )
