"""How long the pipeline took to catch up after each fault. Pure.

The recovery time of a fault is the time from its end (the server answers again, the process is
resumed, connections work; for a killed worker, the kill itself) until every event that was
published by then has its outcome and is announced. Faults follow each other closely: if the next
one begins before that, the figure includes its effect.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from tests.chaos.accounting import Event
from tests.chaos.schedule import PlannedFault

#: A stop that begins within this time after the end of a fault belongs to the fault.
_WITH_ITS_END = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that was injected.

    Attributes:
        fault: the planned fault.
        detail: what was affected.
        began: when it began.
        ended: when it ended.
    """

    fault: PlannedFault
    detail: str
    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop of a worker.

    Attributes:
        began: when the worker was asked to stop.
        ended: when its process had ended.
    """

    began: datetime
    ended: datetime

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began).total_seconds()


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recovery from one fault.

    Attributes:
        name: name of the fault.
        seconds: until all events that were published by its end were announced.
        alone: those of these seconds without another fault.
        stop_seconds: the longest stop of a worker during the fault; None if no worker was stopped.
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
    injected: InjectedFault, published: Iterable[Event], announced: Mapping[UUID, datetime]
) -> float:
    """Seconds from a fault's end until all events published by then were announced; at least 0."""
    last = max(
        (
            announced[event.uuid]
            for event in published
            if event.published_at <= injected.ended and event.uuid in announced
        ),
        default=injected.ended,
    )
    return max(0.0, (last - injected.ended).total_seconds())


def recovery(
    injected: InjectedFault,
    published: Iterable[Event],
    announced: Mapping[UUID, datetime],
    others: Iterable[InjectedFault],
    stops: Iterable[Stop],
) -> Recovery:
    """The recovery from a fault, given all other faults and all stops of workers."""
    seconds = recovery_seconds(injected, published, announced)
    alone = alone_seconds(injected, seconds, others)
    return Recovery(injected.fault.name, seconds, alone, stop_seconds(injected, stops))


def alone_seconds(
    injected: InjectedFault, seconds: float, others: Iterable[InjectedFault]
) -> float:
    """Those seconds after a fault's end in which there was no other fault."""
    until = injected.ended + timedelta(seconds=seconds)
    covered, reached = timedelta(0), injected.ended
    for other in sorted(others, key=lambda one: one.began):
        if other is injected:
            continue
        begin, end = max(other.began, reached), min(other.ended, until)
        if end > begin:
            covered, reached = covered + (end - begin), end
    return seconds - covered.total_seconds()


def stop_seconds(injected: InjectedFault, stops: Iterable[Stop]) -> float | None:
    """The longest stop during a fault or right after its end; None if there was none."""
    met = [
        stop.seconds
        for stop in stops
        if stop.began <= injected.ended + _WITH_ITS_END and stop.ended >= injected.began
    ]
    return max(met, default=None)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
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
