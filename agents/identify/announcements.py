"""After the commit: the listing in Redis, ``faces.matches``, and the answers to callers."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from agents.identify.effects import EventEffects
from agents.identify.match_events import matches_of, outgoing
from agents.identify.unannounced_results import UnannouncedEvents
from config.observability import metrics
from domain.events import EventKind, FaceMatch
from domain.store_rows import EventKey, LedgerRow, Outcome
from sinks.circuit_breaker import CircuitBreaker, CircuitOpen
from sinks.store_errors import StoreUnavailable
from sinks.stores import Stores
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics

logger = logging.getLogger(__name__)

#: After a failure the cache is not called for this time, in seconds.
_CACHE_PAUSE = 3.0


class Announcer:
    """Announces what is committed, at least once."""

    def __init__(self, stores: Stores, publisher: Publisher, topics: Topics) -> None:
        """Announce with this publisher, and record it in these stores."""
        self._stores = stores
        self._publisher = publisher
        self._topics = topics
        self._cache = CircuitBreaker(_CACHE_PAUSE)
        self._unannounced = UnannouncedEvents()

    def expect(self, results: Iterable[EventEffects]) -> None:
        """Keep these events for the metrics, in case the commit or the announcement fails."""
        self._unannounced.keep(results)

    async def announce(self, results: Sequence[EventEffects]) -> int:
        """Announce newly committed events; returns how many of them are counted in the metrics."""
        seen = [
            match
            for one in results
            for match in one.matches
            if one.result.event.kind is EventKind.FRAME
        ]
        if seen:
            with metrics.stage("recents"):
                await self._cached(partial(self._stores.recents.remember_matches, seen))
        keys = [one.result.key for one in results]
        await self._send([match for one in results for match in one.matches], keys)
        for one in results:
            if one.result.answer is not None:
                await self._answer(one.result.event.key, one.result.answer)
        return self._unannounced.observe(keys)

    async def announce_again(self, row: LedgerRow) -> int:
        """Announce an event of an earlier commit; returns 1 if this worker committed it, else 0."""
        if row.answer is not None:
            await self._answer(row.key, row.answer)
        # Events of a later release are announced by workers of that release.
        if not row.announced and row.outcome is not Outcome.OTHER:
            await self._send(await matches_of(self._stores.records, row), [row.event_key])
        return self._unannounced.observe([row.event_key])

    async def _send(self, matches: Sequence[FaceMatch], events: Sequence[EventKey]) -> None:
        """Send the matches, and record in the ledger that the broker has them."""
        with metrics.stage("send_matches"):
            await self._publisher.send_all([outgoing(match, self._topics) for match in matches])
        with metrics.stage("mark_announced"):
            await self._stores.records.mark_announced(events)

    async def _answer(self, upload_id: str, answer: bytes) -> None:
        """Answer a caller; if Redis is unavailable, the ledger has the answer."""
        await self._cached(partial(self._stores.recents.answer, upload_id, answer))

    async def _cached(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the cache; if it is unavailable, continue without it."""
        try:
            await self._cache.call(write)
        except CircuitOpen:
            metrics.CACHE_ERRORS.inc()
        except StoreUnavailable as error:
            metrics.CACHE_ERRORS.inc()
            logger.warning("done without the cache: %s", error)
