"""How long the pipeline took to catch up after each fault: pure.

The recovery time of a fault is the time from its end (the server answers again, the process goes
on, the connections are let through; of a killed worker, the kill itself) until every event that
had been published by then has its outcome and the world was told. Faults follow each other
closely, so where the next one strikes before that, its effect is in the figure too.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tests.chaos.accounting import Event
from tests.chaos.schedule import Strike


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that took place.

    Attributes:
        strike: what was planned.
        detail: whom it met.
        began: when.
        ended: when it was taken back.
    """

    strike: Strike
    detail: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """Faults of one name: how many, and their recovery times in seconds."""

    name: str
    count: int
    p50: float
    longest: float


def recovery_seconds(
    struck: Struck, published: Iterable[Event], told: Mapping[UUID, datetime]
) -> float:
    """Seconds from the fault's end until all that was published by then was told; at least 0."""
    last = max(
        (
            told[event.uuid]
            for event in published
            if event.published_at <= struck.ended and event.uuid in told
        ),
        default=struck.ended,
    )
    return max(0.0, (last - struck.ended).total_seconds())


def summarise(times: Sequence[tuple[str, float]]) -> list[Summary]:
    """Recovery times by the fault's name, in the order of the names."""
    by_name: dict[str, list[float]] = {}
    for name, seconds in times:
        by_name.setdefault(name, []).append(seconds)
    return [
        Summary(name, len(group), statistics.median(group), max(group))
        for name, group in sorted(by_name.items())
    ]
