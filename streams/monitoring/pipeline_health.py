"""Whether the pipeline works: sums up its workers and its consumer groups in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streams.contract.topics import ROLES
from streams.monitoring.consumer_lag import GroupLag
from streams.monitoring.heartbeats import SeenWorker, WorkerRegistry

#: What does not happen without a worker of a role, where it is less than all.
_MISSED = {"follow": ": no visits are recorded"}

_SECONDS_SHOWN = 120
_MINUTES_SHOWN = 120
_MINUTE = 60.0
_CHECKS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class RoleState:
    """The workers of one role.

    Attributes:
        running: number of workers that send heartbeats.
        unhealthy: number of those whose own checks fail.
        lost: number of workers whose heartbeats ended recently without a normal stop.
        silent_seconds: seconds since the last heartbeat of any of them; without one, since this
            process began to read heartbeats, and None for a single check.
    """

    running: int
    unhealthy: int
    lost: int
    silent_seconds: float | None


@dataclass(frozen=True, slots=True)
class PipelineState:
    """The pipeline at one moment.

    Attributes:
        known: whether the broker answered; if not, the rest is empty.
        problems: sentences about what is wrong; empty when everything works. They are public, so
            they name no topic.
        roles: the workers of each role.
        lags: how far each consumer group is behind.
        workers: those that run, and those that ended recently.
    """

    known: bool
    problems: tuple[str, ...]
    roles: dict[str, RoleState]
    lags: tuple[GroupLag, ...]
    workers: tuple[SeenWorker, ...]


def unknown(problem: str) -> PipelineState:
    """The state of a pipeline that cannot be checked.

    Args:
        problem: one sentence that says why.
    """
    return PipelineState(False, (problem,), {}, (), ())


def judge(
    registry: WorkerRegistry,
    lags: Sequence[GroupLag],
    *,
    now: float,
    since: float | None,
    max_lag: float,
) -> PipelineState:
    """Decide the state of the pipeline.

    Args:
        registry: the workers with heartbeats.
        lags: how far each group is behind.
        now: seconds of the clock that measures the arrival of heartbeats.
        since: when reading began, by the same clock; None for a single check.
        max_lag: seconds that a group may be behind.
    """
    workers = registry.workers(now)
    roles = {role: _role(role, workers, registry.heard_at(role), now, since) for role in ROLES}
    problems = []
    for role, state in roles.items():
        if not state.running:
            silent = state.silent_seconds
            period = "" if silent is None else f" for {duration(silent)}"
            problems.append(f"no {role} worker has reported{period}{_MISSED.get(role, '')}")
        elif state.unhealthy:
            live = [one for one in workers if one.last.role == role and one.is_alive(now)]
            names = sorted({name for one in live for name in one.last.problems})
            problems.append(
                f"{state.unhealthy} of {_count(state.running, f'{role} worker')} "
                f"{'is' if state.unhealthy == 1 else 'are'} not healthy: "
                f"{_some(names)}"
            )
        else:
            problems += _unowned(role, workers, lags, now)
    for lag in lags:
        if lag.seconds > max_lag:
            problems.append(
                f"{lag.role} is {duration(lag.seconds)} behind, {_count(lag.messages, 'message')}"
            )
    return PipelineState(True, tuple(problems), roles, tuple(lags), tuple(workers))


def _role(
    role: str,
    workers: Sequence[SeenWorker],
    heard_at: float | None,
    now: float,
    since: float | None,
) -> RoleState:
    own = [one for one in workers if one.last.role == role]
    live = [one for one in own if one.is_alive(now)]
    heard_at = since if heard_at is None else heard_at
    return RoleState(
        running=len(live),
        unhealthy=sum(1 for one in live if one.last.problems),
        lost=sum(1 for one in own if one.is_lost(now)),
        silent_seconds=None if heard_at is None else round(max(0.0, now - heard_at), 1),
    )


def _unowned(
    role: str, workers: Sequence[SeenWorker], lags: Sequence[GroupLag], now: float
) -> list[str]:
    """Partitions that no running worker has: a lost worker keeps its partitions for some time."""
    owned = {
        (topic, number)
        for one in workers
        if one.last.role == role and one.is_alive(now)
        for topic, numbers in one.last.partitions.items()
        for number in numbers
    }
    read = {
        (one.topic, one.partition) for lag in lags if lag.role == role for one in lag.partitions
    }
    without = len(read - owned)
    return [f"{without} of {len(read)} partitions have no {role} worker"] if without else []


def counted(numbers: Mapping[str, int]) -> str:
    """How many workers of each role run, in words: ``2 detect, 1 identify and 1 follow``."""
    *first, last = (f"{number} {role}" for role, number in numbers.items())
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: float) -> str:
    """Seconds for people: ``40 s``, ``12 min``, ``3 h``."""
    if seconds < _SECONDS_SHOWN:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    return f"{minutes:.0f} min" if minutes < _MINUTES_SHOWN else f"{minutes / _MINUTE:.0f} h"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _CHECKS_SHOWN
    return ", ".join(names[:_CHECKS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
