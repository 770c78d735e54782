"""Events that this worker has committed and not announced yet; they are counted when announced."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

from agents.identify.effects import EventEffects
from config.observability import metrics
from domain.events import EventKind, utc_now
from domain.store_rows import EventKey

#: A batch is retried until all of it is announced. Events that remain are from cancelled batches,
#: for example because their partitions went to another worker.
MOST = 1024


class Counts(NamedTuple):
    """The values of an event for the metrics.

    Attributes:
        is_frame: whether a camera sent it.
        at: its trusted time.
        outcome: its outcome.
        decisions: the decision about each of its faces.
    """

    is_frame: bool
    at: datetime
    outcome: str
    decisions: tuple[str | None, ...]

    @classmethod
    def of(cls, effects: EventEffects) -> Self:
        """The values of an event with these effects."""
        event = effects.result.event
        decisions = tuple(match.decision for match in effects.matches)
        return cls(event.kind is EventKind.FRAME, event.at, effects.result.outcome, decisions)

    def observe(self) -> None:
        """Add an announced event to the metrics."""
        for decision in self.decisions:
            metrics.MATCHES.labels(outcome=decision).inc()
        if self.is_frame:
            metrics.LATENCY_SECONDS.observe(max(0.0, (utc_now() - self.at).total_seconds()))
        else:
            metrics.UPLOADS.labels(outcome=self.outcome).inc()


class UnannouncedEvents:
    """Counts by event; the oldest are dropped first."""

    def __init__(self) -> None:
        self._counts: OrderedDict[EventKey, Counts] = OrderedDict()

    def keep(self, results: Iterable[EventEffects]) -> None:
        """Keep events that are about to be committed and announced."""
        for effects in results:
            self._counts[effects.result.key] = Counts.of(effects)
            self._counts.move_to_end(effects.result.key)
        while len(self._counts) > MOST:
            self._counts.popitem(last=False)

    def observe(self, keys: Iterable[EventKey]) -> int:
        """Count announced events, as far as they are kept here; returns how many were counted."""
        counts = [self._counts.pop(key) for key in keys if key in self._counts]
        for one in counts:
            one.observe()
        return len(counts)
