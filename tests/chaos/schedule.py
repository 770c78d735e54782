"""Which faults are injected, where and when. Pure: the same for the same seed."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill", "terminate", "freeze", "crash", "cut", "blackhole", "slow", "fill disk", "join", "leave"
]
WORKERS = ("detect", "identify", "follow")
SERVERS = ("kafka", "postgres", "redis", "s3")


@dataclass(frozen=True, slots=True)
class FaultChoice:
    """A fault that may be planned.

    Attributes:
        kind: the kind of fault.
        target: a kind of worker, a server, or ``stores`` for their common disk.
        shortest: minimum duration, in seconds.
        longest: maximum duration, in seconds.
    """

    kind: Kind
    target: str
    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A planned fault.

    Attributes:
        at: seconds after the first event.
        kind: the kind of fault.
        target: what is affected.
        seconds: duration.
        pick: 0 to 1, selects one of several workers.
    """

    at: float
    kind: Kind
    target: str
    seconds: float
    pick: float

    @property
    def name(self) -> str:
        """For logs and tables."""
        return f"{self.kind} {self.target}"


WORKER_FAULTS = tuple(
    FaultChoice(kind, target, shortest, longest)
    for target in WORKERS
    for kind, shortest, longest in (
        ("kill", 0.0, 0.0),
        ("terminate", 0.0, 0.0),
        ("freeze", 20.0, 20.0),
        ("join", 12.0, 20.0),
        ("leave", 8.0, 15.0),
    )
)
SERVER_FAULTS = (
    *(
        FaultChoice(kind, target, shortest, longest)
        for target in SERVERS
        for kind, shortest, longest in (
            ("crash", 1.0, 6.0),
            ("freeze", 20.0, 20.0),
            ("cut", 0.0, 0.0),
            ("blackhole", 6.0, 12.0),
            ("slow", 8.0, 15.0),
        )
    ),
    FaultChoice("fill disk", "stores", 8.0, 15.0),
)

#: Pause between two faults of a lane. Faults of servers and of workers are injected in two parallel
#: lanes, so they overlap.
PAUSES = {"servers": (2.0, 6.0), "workers": (4.0, 9.0)}
_FIRST = 3.0


def plan(
    seed: int, seconds: float, unavailable_faults: Collection[tuple[str, str]] = ()
) -> list[PlannedFault]:
    """Plan the faults of a run, in the order of their times.

    In each lane every fault is planned once, in random order, before any fault is planned again.
    All faults are over when the last event is published.

    Args:
        seed: seed of the random generator.
        seconds: how long events are published.
        unavailable_faults: kinds and targets that cannot be injected here; either may be ``*``.
    """
    planned_faults: list[PlannedFault] = []
    for lane, all_choices in (("servers", SERVER_FAULTS), ("workers", WORKER_FAULTS)):
        generator = random.Random(f"{seed} {lane}")
        choices = [
            choice for choice in all_choices if not _is_unavailable(choice, unavailable_faults)
        ]
        planned_faults += _schedule(generator, choices, seconds, PAUSES[lane])
    return sorted(planned_faults, key=lambda fault: fault.at)


def _is_unavailable(choice: FaultChoice, unavailable_faults: Collection[tuple[str, str]]) -> bool:
    return any(
        kind in ("*", choice.kind) and target in ("*", choice.target)
        for kind, target in unavailable_faults
    )


def _schedule(
    generator: random.Random,
    choices: Sequence[FaultChoice],
    seconds: float,
    pause: tuple[float, float],
) -> Iterator[PlannedFault]:
    """Plan one fault after another; a fault that would outlast the run is skipped."""
    at = _FIRST + generator.uniform(0.0, pause[1])
    skipped = 0
    for choice in _shuffled(generator, choices):
        length = generator.uniform(choice.shortest, choice.longest)
        pick = generator.random()
        if at + length > seconds:
            skipped += 1
            if skipped > len(choices):
                return
            continue
        skipped = 0
        yield PlannedFault(round(at, 1), choice.kind, choice.target, round(length, 1), pick)
        at += length + generator.uniform(*pause)


def _shuffled(generator: random.Random, choices: Sequence[FaultChoice]) -> Iterator[FaultChoice]:
    while choices:
        yield from generator.sample(choices, len(choices))
