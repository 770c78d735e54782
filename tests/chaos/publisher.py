"""Publishes the planned events at their times, and retries until the broker has each of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.images.media_types import media_type
from streams.contract.topics import Topics
from tests.chaos import pictures
from tests.chaos.expectations import UPLOADS, Expect, Planned

SOURCE = "chaos/harness"
CAMERAS = 5
#: So many of them send a frame when the last one is acknowledged. The others do not wait, so frames
#: that have to be sent again come after later ones, many seconds late.
ORDERED_CAMERAS = 3
#: These send bare frames, whose time is Kafka's: of a message that has to be sent again, the last.
BARE_CAMERAS = 2
_AGAIN_SECONDS = 0.5

_TYPES = {
    Expect.ENROLLED: "fecapass.photo.enrol",
    Expect.REFUSED: "fecapass.photo.enrol",
    Expect.FOUND: "fecapass.photo.search",
    Expect.NOT_FOUND: "fecapass.photo.search",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish; in order with others of its key, or not."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """Addresses of the stored images, by their SHA-256; and an address without an object."""

    addresses: dict[str, str]
    missing: str

    def address(self, expect: Expect, picture: bytes) -> str:
        return (
            self.missing
            if expect is Expect.DEAD_LETTER
            else self.addresses[pictures.digest(picture)]
        )


class Composer:
    """Builds the messages of planned events, only by the contract (docs/events.md)."""

    def __init__(self, topics: Topics, person: UUID, claims: Claims) -> None:
        """Enrolments name the user ``person``."""
        self._topics = topics
        self._person = person
        self._claims = claims

    def message(self, event: Planned) -> Message:
        expect = event.expect
        if expect is Expect.ENROLLED:
            picture = pictures.portrait(event.number)
        else:
            picture = pictures.choose(expect, event.picture)
        upload = expect in UPLOADS
        topic = self._topics.uploads if upload else self._topics.frames
        key = f"event-{event.number}" if upload else _camera(event)
        if event.form == "bare":
            return Message(topic, key.encode(), picture, ())
        headers = {
            "ce_specversion": "1.0",
            "ce_id": f"event-{event.number}",
            "ce_source": SOURCE,
            "ce_type": _TYPES.get(expect, "fecapass.frame.captured"),
            "ce_time": datetime.now(UTC).isoformat(),
        }
        if expect in (Expect.ENROLLED, Expect.REFUSED):
            headers["ce_subject"] = str(self._person)
        if event.form == "claim":
            headers["ce_dataref"] = self._claims.address(expect, picture)
            picture = b""
        elif kind := media_type(picture):
            headers["content-type"] = kind
        encoded = tuple((name, value.encode()) for name, value in headers.items())
        ordered = not upload and event.number % CAMERAS < ORDERED_CAMERAS
        return Message(topic, key.encode(), picture, encoded, ordered)


def _camera(event: Planned) -> str:
    """The camera of a frame; each has one clock."""
    if event.form == "bare":
        return f"bare-{event.number % BARE_CAMERAS}"
    return f"camera-{event.number % CAMERAS}"


class Publisher:
    """Sends at a steady rate, also while the broker is unavailable."""

    def __init__(self, producer: AIOKafkaProducer, composer: Composer) -> None:
        """Send through a started producer."""
        self._producer = producer
        self._composer = composer
        self._turns: dict[bytes, asyncio.Lock] = {}
        self.acknowledged = 0
        self.resent = 0

    async def publish(self, events: Sequence[Planned]) -> None:
        """Return when the broker has all messages, including repetitions."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        sendings = [(event.at, event) for event in events]
        sendings += [(event.repeat_at, event) for event in events if event.repeat_at is not None]
        async with asyncio.TaskGroup() as group:
            for at, event in sorted(sendings, key=lambda sending: (sending[0], sending[1].number)):
                await asyncio.sleep(start + at - loop.time())
                group.create_task(self.send(self._composer.message(event)))

    async def send(self, message: Message) -> None:
        """Send a message until it is acknowledged; it may be on the topic twice."""
        if message.ordered:
            async with self._turns.setdefault(message.key, asyncio.Lock()):
                await self._send(message)
        else:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        while True:
            try:
                await self._producer.send_and_wait(
                    message.topic, message.value, message.key, headers=list(message.headers)
                )
            except (KafkaError, TimeoutError):
                self.resent += 1
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self.acknowledged += 1
                return
