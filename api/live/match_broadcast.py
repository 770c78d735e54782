"""Matches as they happen: ``faces.matches``, without the probes of searches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from api.live.listener import Listener
from api.live.topic_broadcast import TopicBroadcast
from config.settings import ApiSettings, KafkaSettings
from domain.events import FaceMatch
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json


class LiveMatches(TopicBroadcast[FaceMatch, UUID]):
    """Consumes ``faces.matches`` from now on and fans it out."""

    def __init__(self, kafka: KafkaSettings, api: ApiSettings) -> None:
        """Take the settings; see `TopicBroadcast`."""
        super().__init__(kafka, api, Topics(kafka.topic_prefix).matches, "live-matches")

    @contextmanager
    def listen(
        self, last: UUID | None = None, camera: str | None = None, user: UUID | None = None
    ) -> Iterator[Listener[FaceMatch]]:
        """Listen for the time of the context.

        Args:
            last: the last face that the listener has; it gets what came after it, or a gap.
            camera: only matches of this camera.
            user: only matches of this person.
        """

        def wants(match: FaceMatch) -> bool:
            return camera in {None, match.camera_id} and user in {None, match.user_id}

        with self.hear(wants, last) as listener:
            yield listener

    def _decode(self, record: Any) -> FaceMatch | None:
        return frame_match(record.value)

    def _identity(self, event: FaceMatch) -> UUID:
        return event.face_id

    def _names(self, event: FaceMatch, user_id: UUID) -> bool:
        return event.user_id == user_id


def frame_match(value: bytes | None) -> FaceMatch | None:
    """A face that a camera sees; None for the probe of a search, which is only for its caller.

    A face that was corrected later is not seen now.

    Raises:
        msgspec.DecodeError: the value is not a match.
    """
    match = match_from_json(value or b"")
    return match if match.is_of_a_frame and not match.correction_id else None
