"""Sends what was committed about visits, at least once, and keeps the cache of open visits."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial

from config.observability import metrics
from domain.visit_events import Visit, VisitMessage, VisitReason, VisitType
from sinks.cache.open_visits import OpenVisits
from sinks.circuit_breaker import CircuitBreaker, CircuitOpen
from sinks.main.visit_store import VisitStore
from sinks.store_errors import StoreUnavailable
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.envelope import visit_headers
from streams.contract.topics import Topics
from streams.contract.visit_codec import visit_to_json

logger = logging.getLogger(__name__)

#: After a failure the cache is not called for this time, in seconds.
_CACHE_PAUSE = 3.0


class VisitSender:
    """Sends the messages that are stored, and deletes them when the broker has them."""

    def __init__(self, visits: VisitStore, publisher: Publisher, topics: Topics) -> None:
        """Send what this store has with this publisher."""
        self._visits = visits
        self._publisher = publisher
        self._topics = topics

    async def send(self, camera_ids: Collection[str]) -> None:
        """Send all messages of these cameras.

        Raises:
            Retry: the broker or the main database is unavailable; some may have been sent.
        """
        messages = await self._visits.unsent(camera_ids)
        await self._publisher.send_all([self._outgoing(message) for message in messages])
        await self._visits.sent(messages)
        for message in messages:
            _observe(message)

    def _outgoing(self, message: VisitMessage) -> Outgoing:
        visit = message.visit
        key, value = visit.camera_id.encode(), visit_to_json(visit)
        return Outgoing(self._topics.visits, key, value, visit_headers(message))


class VisitCache:
    """The open visits in Redis; if it is unavailable, the worker continues without it."""

    def __init__(self, open_visits: OpenVisits) -> None:
        """Write to this cache."""
        self._open_visits = open_visits
        self._circuit = CircuitBreaker(_CACHE_PAUSE)

    async def remember(self, visits: Sequence[Visit]) -> None:
        """Write those that were announced."""
        announced = [visit for visit in visits if visit.revision]
        if not announced:
            return
        try:
            await self._circuit.call(partial(self._open_visits.remember, announced))
        except CircuitOpen:
            metrics.CACHE_ERRORS.inc()
        except StoreUnavailable as error:
            metrics.CACHE_ERRORS.inc()
            logger.warning("done without the cache: %s", error)


def _observe(message: VisitMessage) -> None:
    """Count what was announced."""
    visit = message.visit
    known = "no" if visit.user_id is None else "yes"
    if message.type is VisitType.STARTED:
        metrics.VISITS_STARTED.labels(known=known).inc()
        metrics.VISIT_START_SECONDS.labels(known=known).observe(
            max(0.0, (datetime.now(UTC) - visit.started_at).total_seconds())
        )
    elif message.type is VisitType.ENDED:
        metrics.VISITS_ENDED.labels(reason=visit.reason or "", known=known).inc()
    elif visit.reason == VisitReason.IDENTITY:
        metrics.VISIT_IDENTITY_CHANGES.inc()
