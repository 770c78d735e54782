"""``python -m tests.compose.scaling``: what a second detect worker brings.

The same frames through one detect worker and through two, each pinned to a core of its own and to
one thread, over the partitions of ``camera.frames``. Everything else that a deployment runs shares
the cores: Kafka, and this program, which reads ``faces.detected``. The identify worker and the
API are stopped during this, because they are not what is measured. Rounds alternate, so that a
machine whose load changes does not favour either.

With ``--cpus 0.4`` a worker gets that share of its core, which leaves room for the rest: then the
workers are the limit, and not the machine.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Sequence

from infra.demo.sample_media import MediaError
from streams.contract.topics import Topics
from tests.compose.deployment import Deployment, DeploymentError, docker, unavailable
from tests.compose.groups import until_shared
from tests.compose.traffic import TrafficError, publish, repeated, sample_frames, watching

PROJECT = "fecapass-scaling"
_SECONDS = 300.0
_VARIABLES = {"FECAPASS_MODELS__THREADS": "1", "FECAPASS_KAFKA__SESSION_TIMEOUT": "6"}
_TWO = 2


def say(text: str) -> None:
    """Report a step."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def measure(
    deployment: Deployment, workers: int, frames: Sequence[bytes], name: str, cpus: float
) -> float:
    """Frames a second through so many detect workers.

    Args:
        deployment: up, without identify workers.
        workers: how many; each gets a core.
        frames: to be published all at once, evenly over the partitions.
        name: begins the ids of this round's events.
        cpus: the share of its core that a worker may use.
    """
    kafka = deployment.settings().kafka
    topics = Topics(kafka.topic_prefix)
    scale = ("--no-deps", "--no-recreate", "--scale", f"detect={workers}", "detect")
    await asyncio.to_thread(deployment.compose, "up", "--detach", "--wait", *scale)
    containers = [c for c in deployment.containers("detect") if c.state == "running"]
    for core, container in zip(sorted(os.sched_getaffinity(0)), containers, strict=False):
        docker("update", "--cpuset-cpus", str(core), "--cpus", str(cpus), container.name)
    group = f"{kafka.topic_prefix}fecapass-detect"
    await until_shared(kafka, group, topics.frames, workers, _SECONDS)
    async with watching(kafka) as watch:
        ids = await publish(kafka, name, frames, partitions=kafka.frames_partitions)
        await watch.until_detected(ids, len(ids), _SECONDS)
        times = sorted(watch.detected_at[event_id] for event_id in ids)
    return (len(times) - 1) / (times[-1] - times[0])


async def compare(deployment: Deployment, rounds: int, count: int, cpus: float) -> None:
    """Measure in turn and tell the medians."""
    frames = repeated(sample_frames(), count)
    deployment.compose("stop", "identify", "follow", "app")
    rates: dict[int, list[float]] = {1: [], _TWO: []}
    for number in range(rounds):
        for workers, measured in rates.items():
            rate = await measure(deployment, workers, frames, f"round-{number}-{workers}", cpus)
            measured.append(rate)
            say(f"round {number + 1}: {workers} worker(s): {rate:.1f} frames/s")
    one, two = (statistics.median(measured) for measured in rates.values())
    say(f"{count} frames, median of {rounds}: one {one:.1f}, two {two:.1f}, {two / one:.2f} times")


def main() -> int:
    """Start a deployment, measure, take it down; returns the exit code."""
    parser = argparse.ArgumentParser(description="What a second detect worker brings.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--cpus", type=float, default=1.0, help="share of its core for a worker")
    arguments = parser.parse_args()
    if reason := unavailable():
        say(reason)
        return 1
    if len(os.sched_getaffinity(0)) < _TWO:
        say("this needs two cores")
        return 1
    try:
        with Deployment(PROJECT) as deployment:
            deployment.configure(_VARIABLES)
            deployment.compose("up", "--detach", "--wait", "--build")
            asyncio.run(compare(deployment, arguments.rounds, arguments.frames, arguments.cpus))
    except (DeploymentError, MediaError, TimeoutError, TrafficError) as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
