"""One stream of visits: live, and what its listener missed, from the database."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from api.http.dependencies import Services
from api.listings.named_visits import with_names
from api.live.event_stream import encode_event
from api.live.listener import Gap, Listener
from api.live.visit_broadcast import AnnouncedVisit, Announcement, Position, VisitSelection
from api.schemas.visits import VisitResponse
from services.stored_visits import announced_since
from sinks.store_errors import StoreUnavailable

if TYPE_CHECKING:
    from uuid import UUID

#: Visits that a listener who was cut off can have again from the database.
RESUMED = 1000

#: What is stored first may be sent last, by so much.
_MARGIN = timedelta(seconds=60)


class VisitStream:
    """What one stream sends."""

    def __init__(self, services: Services, selection: VisitSelection) -> None:
        """Send what is selected.

        Args:
            services: of the process.
            selection: which visits; only this stream's.
        """
        self._services = services
        self._selection = selection
        self._resumed: dict[UUID, int] = {}

    def listen(
        self, last: Announcement | None = None
    ) -> AbstractContextManager[Listener[AnnouncedVisit]]:
        """Listen for the time of the context; see `TopicBroadcast.hear`."""
        return self._services.live_visits.hear(self._selection, last)

    async def missed(self, last: Position | None) -> AsyncIterator[AnnouncedVisit | Gap]:
        """The visits that were announced after a position, as they are now, in that order.

        A gap stands for what is not known: of a position that is none, of more than `RESUMED`
        visits, and without the database.
        """
        try:
            events = await self._announced_since(last) if last is not None else None
        except (SQLAlchemyError, StoreUnavailable, OSError):
            events = None
        if events is None:
            yield Gap()
            return
        if len(events) > RESUMED:
            yield Gap()
        for event in events[-RESUMED:]:
            if event.announcement != (last and last.announcement) and self._selection(event):
                yield event
                self._resumed[event.visit.visit_id] = event.visit.revision

    async def _announced_since(self, last: Position) -> list[AnnouncedVisit]:
        since = last.sent_at - _MARGIN
        async with self._services.databases.main() as session:
            rows = await announced_since(
                session, since, self._selection.camera, self._selection.user, RESUMED + 1
            )
        return [AnnouncedVisit(visit, changed_at) for visit, changed_at in rows]

    async def encode(self, event: AnnouncedVisit) -> bytes:
        """The announcement; nothing if it was among the missed ones."""
        visit = event.visit
        if visit.revision <= self._resumed.get(visit.visit_id, 0):
            return b""
        try:
            (named,) = await with_names(self._services, [visit])
        except StoreUnavailable:
            # A name that cannot be looked up must not hold the visit back.
            named = VisitResponse.of(visit, None)
        return encode_event("visit", event.position.encode(), named.model_dump_json())
