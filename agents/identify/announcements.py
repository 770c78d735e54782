"""After the commit: the listing in Redis, the messages, and the answers to callers."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from agents.identify.effects import EventEffects
from agents.identify.frame_events import processed_now
from agents.identify.match_events import messages_of, outgoing
from agents.identify.unannounced_results import UnannouncedEvents
from config.observability import metrics
from domain.events import EventKind
from domain.store_rows import EventKey, LedgerRow, Outcome
from sinks.circuit_breaker import CircuitBreaker, CircuitOpen
from sinks.store_errors import StoreUnavailable
from sinks.stores import Stores
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.topics import Topics

logger = logging.getLogger(__name__)

#: After a failure the cache is not called for this time, in seconds.
_CACHE_PAUSE = 3.0


class Announcer:
    """Announces what is committed, at least once."""

    def __init__(
        self,
        stores: Stores,
        publisher: Publisher,
        topics: Topics,
        *,
        frames_processed: bool = False,
    ) -> None:
        """Announce with this publisher, and record it in these stores.

        Args:
            stores: the ledger, and the cache.
            publisher: sends the messages.
            topics: names of the topics.
            frames_processed: whether each frame has a message of its own.
        """
        self._stores = stores
        self._publisher = publisher
        self._topics = topics
        self._frames_processed = frames_processed
        self._cache = CircuitBreaker(_CACHE_PAUSE)
        self._unannounced = UnannouncedEvents()

    def expect(self, results: Iterable[EventEffects]) -> None:
        """Keep these events for the metrics, in case the commit or the announcement fails."""
        self._unannounced.keep(results)

    async def announce(self, results: Sequence[EventEffects]) -> int:
        """Announce newly committed events; returns how many of them are counted in the metrics."""
        frames = [one for one in results if one.result.event.kind is EventKind.FRAME]
        seen = [match for one in frames for match in one.matches]
        if seen:
            with metrics.stage("recents"):
                await self._cached(partial(self._stores.recents.remember_matches, seen))
        keys = [one.result.key for one in results]
        messages = [outgoing(match, self._topics) for one in results for match in one.matches]
        if self._frames_processed:
            # After the matches of the frame: the producer of a frame has read these by then.
            messages += [processed_now(one.result, self._topics) for one in frames]
        await self._send(messages, keys)
        for one in results:
            if one.probes:
                await self._cached(partial(self._stores.recents.remember_probes, one.probes))
            if one.result.answer is not None:
                await self._answer(one.result.event.key, one.result.answer)
        return self._unannounced.observe(keys)

    async def announce_again(self, row: LedgerRow) -> int:
        """Announce an event of an earlier commit; returns 1 if this worker committed it, else 0."""
        if row.answer is not None:
            await self._answer(row.key, row.answer)
        # Events of a later release are announced by workers of that release.
        if not row.announced and row.outcome is not Outcome.OTHER:
            messages = await messages_of(
                self._stores.records, row, self._topics, frames_processed=self._frames_processed
            )
            await self._send(messages, [row.event_key])
        return self._unannounced.observe([row.event_key])

    async def _send(self, messages: Sequence[Outgoing], events: Sequence[EventKey]) -> None:
        """Send the messages, and record in the ledger that the broker has them."""
        with metrics.stage("send_matches"):
            await self._publisher.send_all(messages)
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
