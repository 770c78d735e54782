"""A backlog of frames: put onto the topic, and watched until the ledger holds every one."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import asyncpg

from benchmarks.load.processes import cpu_seconds
from benchmarks.load.shots import Shot
from benchmarks.load.worker_metrics import stage_seconds
from benchmarks.system.servers import Consumer
from infra.cameras.frame_publisher import FramePublisher

#: Longest time without a single further frame being processed, in seconds.
STALL_SECONDS = 60.0

_POLL_SECONDS = 0.25
_FIRST_SHARE, _LAST_SHARE = 0.1, 0.9
_COMMITS = """
SELECT processed_at, count(*) AS frames FROM events WHERE source = $1
GROUP BY processed_at ORDER BY processed_at
"""


class StalledError(Exception):
    """Nothing was processed any more."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One batch of results in the ledger: when, and how many frames it held."""

    at: datetime
    frames: int


@dataclass(frozen=True, slots=True)
class Drained:
    """What draining a backlog took.

    Attributes:
        values: ``frames_per_second``, ``cpu_ms_per_frame`` of all processes together.
        details: CPU time by process, and the time in each stage (batches side by side), in
            milliseconds a frame.
    """

    values: Mapping[str, float]
    details: Mapping[str, float]


async def drain(consumer: Consumer, shots: Iterable[Shot]) -> Drained:
    """Give a consumer all frames at once, and measure until it has done them.

    Args:
        consumer: takes them.
        shots: every one is a separate event.

    Raises:
        StalledError: nothing was processed any more for `STALL_SECONDS`.
    """
    cpu, stages = cpu_seconds(consumer.pids), await _stages(consumer)
    commits = await deliver(consumer, shots)
    count = sum(commit.frames for commit in commits)
    used = _grown(cpu, cpu_seconds(consumer.pids), count)
    spent = _grown(stages, await _stages(consumer), count)
    values = {"frames_per_second": steady_rate(commits)}
    if used:
        values["cpu_ms_per_frame"] = sum(used.values())
    details = {f"cpu_ms {name}": value for name, value in used.items()}
    return Drained(values, details | {f"stage_ms {name}": value for name, value in spent.items()})


async def deliver(consumer: Consumer, shots: Iterable[Shot]) -> list[Commit]:
    """Give a consumer frames and wait until the ledger holds them all; see `drain`.

    Returns:
        The ledger's commits, oldest first.
    """
    source = f"fecapass-benchmark/{uuid4()}"
    count = await _send(consumer, shots, source)
    return await committed(consumer, source, count)


def steady_rate(commits: Sequence[Commit]) -> float:
    """Frames a second between the commits that complete a tenth and nine tenths of all frames.

    At both ends about the same number of frames is under way in the agents, so neither start-up
    nor the filling and the emptying of the stages counts for or against the rate.

    Args:
        commits: oldest first.

    Raises:
        ValueError: there are too few commits to compute a rate.
    """
    total = sum(commit.frames for commit in commits)
    done, marks = 0, []
    for commit in commits:
        before, done = done, done + commit.frames
        marks += [
            (commit.at, done)
            for share in (_FIRST_SHARE, _LAST_SHARE)
            if before < share * total <= done
        ]
    if not marks or marks[0] == marks[-1]:
        raise ValueError(f"{total} frames came in too few commits to compute a rate")
    (began, first), (ended, last) = marks[0], marks[-1]
    return (last - first) / (ended - began).total_seconds()


async def _send(consumer: Consumer, shots: Iterable[Shot], source: str) -> int:
    """Publish by the contract, none by claim check; returns how many there were."""
    count = 0
    async with FramePublisher(consumer.settings.kafka, claim_check=False) as publisher:
        for shot in shots:
            await publisher.publish(shot.event(source, str(count)), shot.jpeg)
            count += 1
        await publisher.flush()
    return count


async def committed(consumer: Consumer, source: str, count: int) -> list[Commit]:
    """Wait until the ledger holds all events of a source; returns its commits, oldest first.

    Raises:
        StalledError: nothing was processed any more for `STALL_SECONDS`.
    """
    connection = await asyncpg.connect(consumer.settings.main_db.dsn)
    done, moved = -1, time.monotonic()
    try:
        while True:
            consumer.check()
            rows = await connection.fetch(_COMMITS, source)
            held = sum(row["frames"] for row in rows)
            if held >= count:
                return [Commit(row["processed_at"], row["frames"]) for row in rows]
            if held > done:
                done, moved = held, time.monotonic()
            elif time.monotonic() - moved > STALL_SECONDS:
                raise StalledError(f"{count - held} of {count} frames were not processed")
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.close()


async def _stages(consumer: Consumer) -> dict[str, float]:
    return {name: spent.seconds for name, spent in (await stage_seconds(consumer)).items()}


def _grown(
    before: Mapping[str, float], after: Mapping[str, float], frames: int
) -> dict[str, float]:
    """Milliseconds a frame, of counters in seconds."""
    return {name: 1000 * (value - before.get(name, 0.0)) / frames for name, value in after.items()}
