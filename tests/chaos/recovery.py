"""How long the pipeline took to catch up after each fault: pure.

The recovery time of a fault is the time from its end (the server answers again, the process goes
on, the connections are let through; of a killed worker, the kill itself) until every event that
had been published by then has its outcome and the world was told. Faults follow each other
closely, so where the next one strikes before that, its effect is in the figure too.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from tests.chaos.accounting import Event
from tests.chaos.schedule import Strike

#: A worker that is told to stop when a fault is taken back is told so within this time.
_WITH_ITS_END = timedelta(seconds=1)


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
class Stop:
    """A worker that was told to stop.

    Attributes:
        began: when it was told.
        ended: when its process was gone.
    """

    began: datetime
    ended: datetime

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began).total_seconds()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of one fault.

    Attributes:
        name: of the fault.
        seconds: until all that was published by its end was told.
        alone: of these, those in which no other fault was on.
        stop_seconds: the longest stop of a worker that met it; None where none did.
    """

    name: str
    seconds: float
    alone: float
    stop_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Faults of one name: how many, their recovery times and the longest stop, in seconds.

    Without the time of other faults: ``alone``, the 95th percentile.
    """

    name: str
    count: int
    p50: float
    longest: float
    p95: float = field(default=0.0, compare=False)
    alone: float = field(default=0.0, compare=False)
    stop: float | None = field(default=None, compare=False)


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


def recovery(
    struck: Struck,
    published: Iterable[Event],
    told: Mapping[UUID, datetime],
    others: Iterable[Struck],
    stops: Iterable[Stop],
) -> Recovery:
    """What came of a fault, among others and among workers that were told to stop."""
    seconds = recovery_seconds(struck, published, told)
    alone = alone_seconds(struck, seconds, others)
    return Recovery(struck.strike.name, seconds, alone, stop_seconds(struck, stops))


def alone_seconds(struck: Struck, seconds: float, others: Iterable[Struck]) -> float:
    """Of the seconds after a fault's end, those in which no other fault was on."""
    until = struck.ended + timedelta(seconds=seconds)
    covered, reached = timedelta(0), struck.ended
    for other in sorted(others, key=lambda one: one.began):
        if other is struck:
            continue
        begin, end = max(other.began, reached), min(other.ended, until)
        if end > begin:
            covered, reached = covered + (end - begin), end
    return seconds - covered.total_seconds()


def stop_seconds(struck: Struck, stops: Iterable[Stop]) -> float | None:
    """The longest stop that was under way during a fault or began with its end; None for none."""
    met = [
        stop.seconds
        for stop in stops
        if stop.began <= struck.ended + _WITH_ITS_END and stop.ended >= struck.began
    ]
    return max(met, default=None)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise(times: Sequence[tuple[str, float]]) -> list[Summary]:
    """Recovery times by the fault's name, in the order of the names."""
    return by_fault([Recovery(name, seconds, seconds) for name, seconds in times])


def by_fault(recoveries: Iterable[Recovery]) -> list[Summary]:
    """Recoveries by the fault's name, in the order of the names."""
    by_name: dict[str, list[Recovery]] = {}
    for one in recoveries:
        by_name.setdefault(one.name, []).append(one)
    return [_summary(name, group) for name, group in sorted(by_name.items())]


def _summary(name: str, group: Sequence[Recovery]) -> Summary:
    seconds = [one.seconds for one in group]
    return Summary(
        name,
        len(group),
        statistics.median(seconds),
        max(seconds),
        percentile(seconds, 0.95),
        percentile([one.alone for one in group], 0.95),
        max((one.stop_seconds for one in group if one.stop_seconds is not None), default=None),
    )
