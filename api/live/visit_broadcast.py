"""Visits as they are announced: ``faces.visits``."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from api.live.topic_broadcast import TopicBroadcast
from config.settings import ApiSettings, KafkaSettings
from domain.events import utc_now
from domain.visit_events import Visit, VisitState
from streams.contract.topics import Topics
from streams.contract.visit_codec import visit_from_json

#: Visits of a user that a stream follows; more are open nowhere.
_FOLLOWED = 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Milliseconds of the last moment that a calendar has.
_LAST_MILLISECOND = 253_402_300_799_999


class Announcement(NamedTuple):
    """Names one announcement of a visit."""

    visit_id: UUID
    revision: int


class Position(NamedTuple):
    """Where a listener is: its last announcement, and the time at which that was sent.

    The time is that of the servers, the same for all cameras.
    """

    announcement: Announcement
    sent_at: datetime

    def encode(self) -> str:
        """As the id of an event."""
        milliseconds = (self.sent_at - _EPOCH) // timedelta(milliseconds=1)
        return f"{self.announcement.visit_id}/{self.announcement.revision}/{milliseconds}"

    @classmethod
    def decode(cls, text: str) -> "Position | None":
        """From what `encode` made; None for anything else."""
        with suppress(ValueError):
            visit_id, revision, milliseconds = text.split("/")
            if 0 <= int(milliseconds) <= _LAST_MILLISECOND:
                sent_at = _EPOCH + timedelta(milliseconds=int(milliseconds))
                return cls(Announcement(UUID(visit_id), int(revision)), sent_at)
        return None


@dataclass(frozen=True, slots=True)
class AnnouncedVisit:
    """A visit, as it was announced.

    Attributes:
        visit: the visit.
        sent_at: when the announcement was sent, by the clock of the servers.
    """

    visit: Visit
    sent_at: datetime

    @property
    def announcement(self) -> Announcement:
        """Which announcement it is."""
        return Announcement(self.visit.visit_id, self.visit.revision)

    @property
    def position(self) -> Position:
        """Where a listener is that has got it."""
        return Position(self.announcement, self.sent_at)


class VisitSelection:
    """Chooses the visits that a stream is asked for.

    A visit that was a user's is chosen once more when it turns out to be another person's: else the
    listener would take the user for present.

    Attributes:
        camera: only visits of this camera.
        user: only visits of this user.
    """

    def __init__(self, camera: str | None = None, user: UUID | None = None) -> None:
        """Choose by camera and user; None does not restrict."""
        self.camera = camera
        self.user = user
        self._followed: set[UUID] = set()

    def __call__(self, event: AnnouncedVisit) -> bool:
        """Whether to send this announcement; asked once for each, in their order."""
        visit = event.visit
        if self.camera not in {None, visit.camera_id}:
            return False
        if self.user is None:
            return True
        was_theirs, is_theirs = visit.visit_id in self._followed, visit.user_id == self.user
        if is_theirs and visit.state != VisitState.ENDED:
            if len(self._followed) >= _FOLLOWED:
                self._followed.clear()
            self._followed.add(visit.visit_id)
        elif was_theirs and not is_theirs:
            self._followed.discard(visit.visit_id)
        return is_theirs or was_theirs


class LiveVisits(TopicBroadcast[AnnouncedVisit, Announcement]):
    """Consumes ``faces.visits`` from now on and fans it out."""

    def __init__(self, kafka: KafkaSettings, api: ApiSettings) -> None:
        """Take the settings; see `TopicBroadcast`."""
        super().__init__(kafka, api, Topics(kafka.topic_prefix).visits, "live-visits")

    def _decode(self, record: Any) -> AnnouncedVisit | None:
        visit = visit_from_json(record.value or b"")
        if visit.started_at.tzinfo is None or visit.last_seen_at.tzinfo is None:
            raise msgspec.ValidationError("a time has no time zone")
        if record.timestamp is None or record.timestamp <= 0:  # from a broker that notes none
            return AnnouncedVisit(visit, utc_now())
        return AnnouncedVisit(visit, datetime.fromtimestamp(record.timestamp / 1000, UTC))

    def _identity(self, event: AnnouncedVisit) -> Announcement:
        return event.announcement

    def _names(self, event: AnnouncedVisit, user_id: UUID) -> bool:
        return event.visit.user_id == user_id
