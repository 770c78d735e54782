"""One open stream: a bounded queue of events, with gaps where it was too slow."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from config.observability import metrics

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Gap:
    """Marks the place at which a listener lost events.

    Attributes:
        lost: how many; None where that is not known, as after an outage.
    """

    lost: int | None = None


@dataclass(eq=False)
class Listener(Generic[Event]):
    """One open stream.

    Attributes:
        limit: most events that wait.
        wants: whether the listener has requested an event; asked once for each, in their order.
    """

    limit: int
    wants: Callable[[Event], bool]
    _waiting: deque[Event | Gap] = field(default_factory=deque)
    _events: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    def offer(self, event: Event) -> None:
        """Queue an event, at the cost of the oldest when the queue is full."""
        if not self.wants(event):
            return
        if self._events >= self.limit:
            self._drop_oldest()
        self._waiting.append(event)
        self._events += 1
        self._arrived.set()

    def miss(self) -> None:
        """Record for the listener that events were lost."""
        if not (self._waiting and isinstance(self._waiting[-1], Gap)):
            self._waiting.append(Gap())
        else:
            self._waiting[-1] = Gap()
        self._arrived.set()

    def _drop_oldest(self) -> None:
        """Put a gap in the place of the oldest event, together with the gap before it."""
        lost: int | None = 1
        oldest = self._waiting.popleft()
        if isinstance(oldest, Gap):
            lost = None if oldest.lost is None else oldest.lost + 1
            self._waiting.popleft()  # gaps do not follow each other
        else:
            metrics.LIVE_GAPS.inc()
        if self._waiting and isinstance(following := self._waiting[0], Gap):
            self._waiting.popleft()
            lost = None if lost is None or following.lost is None else lost + following.lost
        self._waiting.appendleft(Gap(lost))
        self._events -= 1

    def end(self) -> None:
        """Let `events` end."""
        self._closed = True
        self._arrived.set()

    async def events(self, heartbeat: float) -> AsyncIterator[Event | Gap | None]:
        """Events and gaps as they come; None whenever nothing came for ``heartbeat`` seconds."""
        while not self._closed:
            while self._waiting:
                event = self._waiting.popleft()
                self._events -= not isinstance(event, Gap)
                yield event
            self._arrived.clear()
            try:
                async with asyncio.timeout(heartbeat):
                    await self._arrived.wait()
            except TimeoutError:
                yield None


@dataclass
class Places:
    """The places for open streams of a process, whatever the streams are of.

    Attributes:
        limit: how many there are.
        limit_each: how many of them one caller may have.
    """

    limit: int
    limit_each: int
    _taken: Counter[str | None] = field(default_factory=Counter)

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self._taken.total() >= self.limit

    def all_taken_by(self, caller: str | None) -> bool:
        """Whether a caller has as many places as one may have; None: callers without keys."""
        return caller is not None and self._taken[caller] >= self.limit_each

    @contextmanager
    def taken(self, caller: str | None) -> Iterator[None]:
        """Take a place for the time of the context."""
        self._taken[caller] += 1
        metrics.LIVE_LISTENERS.inc()
        try:
            yield
        finally:
            self._taken[caller] -= 1
            self._taken += Counter()  # keeps no callers without places
            metrics.LIVE_LISTENERS.dec()
