"""Sends images to Kafka by the event contract; a call ends with an acknowledgement or an error."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Self

from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from domain.events import EventKind, ImageEvent
from domain.failures import Reject, Retry
from domain.images.media_types import EXTENSIONS, extension, media_type
from streams.clients.client_factory import create_producer
from streams.clients.tls_and_sasl import connection_problem
from streams.contract.envelope import encode_headers
from streams.contract.topics import Topics

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

#: Stores an image for a claim check: takes key and bytes, returns the ``s3://`` address; raises
#: `domain.failures.Retry` or `Reject`.
StoreImage = Callable[[str, bytes], Awaitable[str]]

#: Size of a message without its value: key, headers and Kafka's framing, in bytes. More than enough
#: because identifiers are bounded (`streams.contract.envelope.MAX_IDENTIFIER_BYTES`).
MESSAGE_OVERHEAD_BYTES = 8 * 1024

#: A topic that is missing for this time does not exist; pause between two checks. In seconds.
_TOPIC_PATIENCE, _TOPIC_PAUSE = 3.0, 0.2


class PublishError(Exception):
    """Images could not be published; the message is one line for the user."""


class ImageProducer:
    """Sends frames and uploads independently of each other; an asynchronous context manager.

    A failed image does not affect the next one, so a server may use one producer until it ends.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        store_image: StoreImage | None = None,
        claim_check: bool | None = None,
        client_id: str = "fecapass-publish",
    ) -> None:
        """Prepare; the connection is made on entering.

        Args:
            kafka: broker and topics.
            store_image: stores the images of claim checks; None if there is no store, so that every
                image is sent in its message.
            claim_check: send every image by claim check; None uses the settings. Images that are
                too large for a message are always sent by claim check.
            client_id: name of this client in the broker's logs.
        """
        self._kafka = kafka
        self._topics = Topics(kafka.topic_prefix)
        self._store_image = store_image
        self._claim_check = kafka.claim_check if claim_check is None else claim_check
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._existing_topics: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect; does nothing if it is already connected.

        Raises:
            PublishError: no broker answers.
        """
        if self._producer is not None:
            return
        producer = create_producer(
            self._kafka,
            client_id=self._client_id,
            # JPEG, PNG and WebP are compressed already: lz4 on top costs time and saves nothing.
            compression_type=None,
            max_request_size=self._kafka.max_message_bytes,
            # Not idempotent: some brokers do not support it, and a message that a retry sends twice
            # changes nothing, because both copies have the same event id.
            enable_idempotence=False,
        )
        try:
            await producer.start()
        except BaseException as error:
            await producer.stop()
            if isinstance(error, KafkaError | OSError):
                problem = await connection_problem(self._kafka)
                servers = self._kafka.bootstrap_servers
                raise PublishError(f"no Kafka broker answers at {servers}: {problem}") from error
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send the pending messages and disconnect; does nothing if it is not connected."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def deliver(self, event: ImageEvent, data: bytes) -> None:
        """Send an image and wait until it is acknowledged.

        Args:
            event: describes the image; its kind decides the topic.
            data: JPEG, PNG or WebP bytes.

        Raises:
            PublishError: it could not be delivered.
        """
        await (await self.hand_over(event, data))

    async def hand_over(self, event: ImageEvent, data: bytes) -> Awaitable[None]:
        """Send an image without waiting for its acknowledgement.

        Images of one key that are sent in their messages arrive in the order of the calls; images
        that are sent by claim check may arrive in another order.

        Args:
            event: describes the image; its kind decides the topic.
            data: JPEG, PNG or WebP bytes.

        Returns:
            An awaitable, to be awaited once: ends when the image is acknowledged, or raises
            `PublishError`.

        Raises:
            PublishError: it cannot be sent at all.
        """
        if self._by_claim_check(data):
            return self._deliver_by_claim_check(event, data)
        # Passed to the producer at once, so that the order of the calls is kept.
        headers = encode_headers(event, media_type(data))
        return _acknowledged(await self._send(event, data, headers))

    def _by_claim_check(self, data: bytes) -> bool:
        too_large = len(data) > self._kafka.max_message_bytes - MESSAGE_OVERHEAD_BYTES
        if (too_large or self._claim_check) and self._store_image is None:
            raise PublishError(
                f"an image of {len(data)} bytes needs a claim check, and no S3 store is configured"
            )
        return too_large or self._claim_check

    async def _deliver_by_claim_check(self, event: ImageEvent, data: bytes) -> None:
        if self._store_image is None:
            raise PublishError("no S3 store is configured")
        try:
            dataref = await self._store_image(claim_check_key(event, data), data)
        except (Retry, Reject) as error:
            raise PublishError(f"an image could not be stored: {_line(error)}") from error
        headers = encode_headers(event, None, dataref)
        await _acknowledged(await self._send(event, b"", headers))

    async def _send(
        self, event: ImageEvent, value: bytes, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[object]:
        if self._producer is None:
            raise PublishError("the publisher is closed")
        topic = self._topics.frames if event.kind is EventKind.FRAME else self._topics.uploads
        if topic not in self._existing_topics:
            await self._require_topic(topic, self._producer)
        try:
            acknowledgement: asyncio.Future[object] = await self._producer.send(
                topic, value, key=event.key.encode(), headers=headers
            )
        except KafkaError as error:
            raise PublishError(f"cannot send to {topic}: {_line(error)}") from error
        return acknowledgement

    async def _require_topic(self, topic: str, producer: "AIOKafkaProducer") -> None:
        """Check that a topic exists, since a broker may create it with its own partition count.

        A request for all topics creates none. A broker that has just created one may not list it
        yet.
        """
        until = monotonic() + _TOPIC_PATIENCE
        while True:
            try:
                topics = (await producer.client.fetch_all_metadata()).topics()
            except KafkaError as error:
                raise PublishError(f"cannot check topic {topic}: {_line(error)}") from error
            if topic in topics:
                self._existing_topics.add(topic)
                return
            if monotonic() > until:
                raise PublishError(f"there is no topic {topic}; run fecapass init-db first")
            await asyncio.sleep(_TOPIC_PAUSE)


async def _acknowledged(acknowledgement: asyncio.Future[object]) -> None:
    try:
        await acknowledgement
    except KafkaError as error:
        raise PublishError(f"the broker did not accept an image: {_line(error)}") from error


def claim_check_key(event: ImageEvent, data: bytes) -> str:
    """S3 key of an image: ``frames/{event}.jpg``.

    An event has the same key each time that it is published. The key contains the event's UUID and
    not the source and id, so that cameras cannot choose keys.
    """
    kind = media_type(data)
    suffix = f".{extension(kind)}" if kind else ""
    folder = "frames" if event.kind is EventKind.FRAME else "uploads"
    return f"{folder}/{event.uuid}{suffix}"


def upload_keys(event_uuid: object) -> list[str]:
    """Every S3 key under which `claim_check_key` may have put an upload's image."""
    return [f"uploads/{event_uuid}{suffix}" for suffix in _SUFFIXES]


_SUFFIXES = ("", *sorted(f".{name}" for name in EXTENSIONS))


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
