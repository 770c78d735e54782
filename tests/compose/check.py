"""``python -m tests.compose.check``: docker-compose.yml, started for real and asserted.

The images hold what they should and no more, and the one for GPUs refuses to do without unless its
settings allow the CPU. Everything is healthy; frames published from the host come out on
``faces.matches``; both databases come back from their backups; a detect worker that is killed in
the middle of its work, and brought back, loses none; three of them share the partitions; stopping
one gives its partitions back at once; and the end leaves nothing behind.

It is a separate deployment, next to any other on the host. Exit code 0 when all holds, 1 with the
reason when not, 0 with the reason where there is no Docker engine or an upstream image is not to
be had.
"""

import asyncio
import itertools
import sys
from time import monotonic

import asyncpg

from config.settings import ConfigurationError, KafkaSettings, Settings
from infra.demo.sample_media import CARPHONE, MediaError
from infra.operations.healthcheck import probe
from infra.processes.signals import take_sigterm_for_ctrl_c
from streams.contract.topics import Topics
from tests.compose.deployment import Deployment, DeploymentError, unavailable
from tests.compose.groups import until_shared
from tests.compose.images import (
    APP_IMAGE,
    BASE_IMAGE,
    GPU_IMAGE,
    ImageError,
    allows_the_cpu,
    refuses_a_missing_gpu,
    size,
    sound,
)
from tests.compose.observe import ObserveError, until_shown
from tests.compose.recovery import RecoveryError, comes_back
from tests.compose.traffic import (
    SOURCE,
    TrafficError,
    Watch,
    publish,
    repeated,
    sample_frames,
    watching,
)

PROJECT = "fecapass-check"

_UPSTREAM = ("db_main", "db_vector", "redis", "kafka", "s3", "prometheus")
_FIRST = 48
_FEW = 4
_BACKLOG = 900
_KILL_AFTER = 150
_SHARED = 240
_SECONDS = 240.0
_GROUP_SECONDS = 90.0
_LEAVE_SECONDS = 45.0
_HEALTHY_SECONDS = 30.0
_DETECT_WORKERS = 3

#: A killed worker's partitions are free when its session ends: the least that Kafka allows.
_VARIABLES = {"FECAPASS_KAFKA__SESSION_TIMEOUT": "6"}


class CheckError(Exception):
    """Something is not as it should be."""


def say(text: str) -> None:
    """Report a step."""
    sys.stdout.write(f"compose-check: {text}\n")
    sys.stdout.flush()


async def check(deployment: Deployment) -> None:
    """Run all steps on a deployment that is up.

    Raises:
        CheckError: a promise of the compose file is not kept.
        TrafficError: an event was lost.
    """
    settings = deployment.settings()
    frames = sample_frames()
    await deployment.fecapass(
        "publish", str(CARPHONE.locate()), "--camera", "door-1", "--rate", "50", "--limit", "24"
    )
    await _until_healthy(f"http://127.0.0.1:{settings.api.port}/health")
    say("the API finds every server in order")
    await allows_the_cpu(f"{deployment.project}-network", "kafka:9092", _GROUP_SECONDS)
    say("the GPU image works on the CPU where its settings allow it")
    async with watching(settings.kafka) as watch:
        ids = await publish(settings.kafka, "first", repeated(frames, _FIRST))
        await watch.until_matched(ids, _SECONDS)
        say(f"{len(ids)} frames published from the host are on faces.matches")
        rows = await comes_back(deployment)
        say(f"both databases are back from their backups: {rows}")
        await _observe(deployment, settings.kafka, frames)
        killed = await _kill_in_the_middle(deployment, settings.kafka, watch, frames)
        shared = await _share(deployment, settings.kafka, watch, frames)
    await _in_the_ledger(settings, [*ids, *killed, *shared])


async def _until_healthy(url: str) -> None:
    """Wait until the API finds every server in order; a busy host may need more than one look."""
    deadline = monotonic() + _HEALTHY_SECONDS
    while True:
        healthy, answer = await asyncio.to_thread(probe, url)
        if healthy:
            return
        if monotonic() > deadline:
            raise CheckError(f"the API is not healthy from the host: {answer}")
        await asyncio.sleep(1.0)


async def _observe(deployment: Deployment, kafka: KafkaSettings, frames: list[bytes]) -> None:
    """Prometheus sees the workers and the API, and the dashboard has something to show."""
    profile = ("--profile", "observability")
    await asyncio.to_thread(
        deployment.compose, *profile, "up", "--detach", "--wait", "--no-recreate", "prometheus"
    )
    port = deployment.port("PROMETHEUS_PORT")
    flow = asyncio.create_task(_keep_flowing(kafka, frames))
    try:
        asked = await until_shown(port, _GROUP_SECONDS)
    finally:
        flow.cancel()
        await asyncio.gather(flow, return_exceptions=True)
    say(f"Prometheus answers all {asked} queries of the dashboard")
    await asyncio.to_thread(deployment.compose, *profile, "rm", "--stop", "--force", "prometheus")


async def _keep_flowing(kafka: KafkaSettings, frames: list[bytes]) -> None:
    """A few frames a second: rates need a change to be seen."""
    for number in itertools.count():
        await publish(
            kafka, f"observed-{number}", repeated(frames, _FEW), source="fecapass/observe"
        )
        await asyncio.sleep(1.0)


async def _kill_in_the_middle(
    deployment: Deployment, kafka: KafkaSettings, watch: Watch, frames: list[bytes]
) -> list[str]:
    ids = await publish(kafka, "killed", repeated(frames, _BACKLOG))
    await watch.until_detected(ids, _KILL_AFTER, _SECONDS)
    await asyncio.to_thread(deployment.compose, "kill", "detect")
    done = sum(event_id in watch.detected for event_id in ids)
    if done == len(ids):
        raise CheckError("the kill came after the last frame; publish more")
    say(f"detect was killed after {done} of {len(ids)} frames")
    await asyncio.to_thread(deployment.compose, "up", "--detach", "--wait", "detect")
    await watch.until_matched(ids, _SECONDS)
    say(f"detect is back, and all {len(ids)} are on faces.matches")
    return ids


async def _share(
    deployment: Deployment, kafka: KafkaSettings, watch: Watch, frames: list[bytes]
) -> list[str]:
    topics = Topics(kafka.topic_prefix)
    group = f"{kafka.topic_prefix}fecapass-detect"
    scale = ("up", "--detach", "--wait", "--no-recreate", "--scale")
    await asyncio.to_thread(deployment.compose, *scale, f"detect={_DETECT_WORKERS}", "detect")
    owned = await until_shared(kafka, group, topics.frames, _DETECT_WORKERS, _GROUP_SECONDS)
    partitions = sorted(number for numbers in owned.values() for number in numbers)
    if partitions != list(range(kafka.frames_partitions)):
        raise CheckError(f"the partitions are not shared without gap or overlap: {owned}")
    say(f"{_DETECT_WORKERS} detect workers own {[len(n) for n in owned.values()]} partitions")
    ids = await publish(kafka, "shared", repeated(frames, _SHARED))
    began = monotonic()
    await asyncio.to_thread(deployment.compose, *scale, "detect=1", "detect")
    await until_shared(kafka, group, topics.frames, 1, _LEAVE_SECONDS)
    say(f"two of them left, their partitions are taken over; {monotonic() - began:.1f} s in all")
    await watch.until_matched(ids, _SECONDS)
    say(f"{len(ids)} all frames published in this time are on faces.matches")
    return ids


async def _in_the_ledger(settings: Settings, ids: list[str]) -> None:
    """Every event is settled in the main database, and no other of this source."""
    connection = await asyncpg.connect(settings.main_db.dsn)
    try:
        rows = await connection.fetch("SELECT id FROM events WHERE source = $1", SOURCE)
    finally:
        await connection.close()
    if sorted(row["id"] for row in rows) != sorted(ids):
        raise CheckError(f"the ledger holds {len(rows)} of {len(ids)} events")
    say(f"the ledger holds each of the {len(ids)} events once")


def _images(deployment: Deployment) -> None:
    """Both images, built from this tree."""
    deployment.compose("--profile", "gpu", "build")
    for image in (APP_IMAGE, GPU_IMAGE):
        sound(image)
        say(f"{image} ({size(image)}) is sound")
    refuses_a_missing_gpu()
    say("the GPU image refuses to start without a GPU")


def _nothing_left(deployment: Deployment) -> None:
    if left := deployment.leftovers():
        raise CheckError(f"down -v left {', '.join(left)}")
    say("down -v left nothing")


def main() -> int:
    """Start, check, end; returns the exit code."""
    if reason := unavailable():
        say(f"skipped: {reason}")
        return 0
    take_sigterm_for_ctrl_c()
    deployment = Deployment(PROJECT)
    try:
        with deployment:
            deployment.configure(_VARIABLES)
            if reason := unavailable({BASE_IMAGE, *deployment.images(_UPSTREAM)}):
                say(f"skipped: {reason}")
                return 0
            _images(deployment)
            began = monotonic()
            deployment.compose("up", "--detach", "--wait")
            say(f"up and healthy in {monotonic() - began:.0f} s")
            asyncio.run(check(deployment))
        _nothing_left(deployment)
    except (
        CheckError, ConfigurationError, DeploymentError, ImageError, MediaError, ObserveError,
        OSError, RecoveryError, TrafficError,
    ) as error:  # fmt: skip
        sys.stderr.write(f"compose-check: failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
