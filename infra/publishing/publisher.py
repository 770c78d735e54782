"""Images onto Kafka, by the event contract: every one acknowledged, or an error that says why."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from infra.publishing.encoding import extension, media_type
from streams.envelope import encode_headers
from streams.events import EventKind, ImageEvent
from streams.failures import Reject, Retry
from streams.topics import Topics

#: Stores an image for a claim check: takes key and bytes, returns the ``s3://`` address; raises
#: `streams.failures.Retry` or `Reject`.
StoreImage = Callable[[str, bytes], Awaitable[str]]

#: What a message takes besides its value: key, headers and Kafka's framing, in bytes. The
#: identifiers are bounded (`streams.envelope.MAX_IDENTIFIER_BYTES`), so this is generous.
MESSAGE_OVERHEAD_BYTES = 8 * 1024

#: Bounds of what is sent and not yet acknowledged.
MAX_IN_FLIGHT = 64
MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024


class PublishError(Exception):
    """Images could not be published; the message is one line for the user."""


class FramePublisher:
    """Publishes frames and uploads; an asynchronous context manager.

    ``publish`` returns as soon as the image is on its way and waits only while too much is;
    ``flush`` waits for the rest. The first failure is raised by whichever is called next.

        async with FramePublisher(settings.kafka) as publisher:
            await publisher.publish(event, jpeg)
            await publisher.flush()
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        store_image: StoreImage | None = None,
        claim_check: bool | None = None,
    ) -> None:
        """Prepare; the connection is made on entering.

        Args:
            kafka: broker and topics.
            store_image: where images of claim checks go (`sinks.crops`); None if there is no
                store, so that every image travels in its message.
            claim_check: send every image by claim check; None does what the settings say. Images
                that are too large for a message always go that way.
        """
        self._kafka = kafka
        self._topics = Topics(kafka.topic_prefix)
        self._store_image = store_image
        self._claim_check = kafka.claim_check if claim_check is None else claim_check
        self._producer: AIOKafkaProducer | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes_in_flight = 0
        self._failure: PublishError | None = None
        self.acknowledged = 0

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            client_id="fecapass-publish",
            acks="all",
            # JPEG, PNG and WebP are compressed already: lz4 on top costs time and saves nothing.
            compression_type=None,
            max_request_size=self._kafka.max_message_bytes,
            request_timeout_ms=int(self._kafka.request_timeout * 1000),
            # Not idempotent: some brokers have no such producers, and a message that a retry
            # doubles changes nothing, because the event's id names it.
            enable_idempotence=False,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise PublishError(
                f"no Kafka broker answers at {self._kafka.bootstrap_servers} ({_line(error)})"
            ) from error
        except asyncio.CancelledError:
            await producer.stop()
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    @property
    def in_flight(self) -> int:
        """How many images are on their way and not acknowledged."""
        return len(self._tasks)

    async def publish(self, event: ImageEvent, data: bytes) -> None:
        """Send an image; waits while too much is in flight.

        Images of one key arrive in the order of the calls when they travel in their messages;
        with claim checks, neighbours may change places.

        Args:
            event: what the image is; frames and uploads go to their topics.
            data: JPEG, PNG or WebP bytes.

        Raises:
            PublishError: this or an earlier image could not be delivered.
        """
        async with self._changed:
            await self._changed.wait_for(self._has_room)
        self._raise_failure()
        if self._by_claim_check(data):
            delivery = self._deliver_by_claim_check(event, data)
        else:
            # Handed to the producer here and now, so that the order of the calls is kept.
            acknowledgement = await self._send(event, data, encode_headers(event, media_type(data)))
            delivery = self._await(acknowledgement)
        self._bytes_in_flight += len(data)
        task = asyncio.create_task(self._settle(delivery, len(data)))
        self._tasks.add(task)

    async def flush(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            PublishError: an image could not be delivered.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self._tasks)
        self._raise_failure()

    def _has_room(self) -> bool:
        return (
            len(self._tasks) < MAX_IN_FLIGHT and self._bytes_in_flight < MAX_IN_FLIGHT_BYTES
        ) or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

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
        dataref = await self._store_image(claim_check_key(event, data), data)
        headers = encode_headers(event, None, dataref)
        await self._await(await self._send(event, b"", headers))

    async def _send(
        self, event: ImageEvent, value: bytes, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[object]:
        if self._producer is None:
            raise PublishError("the publisher is closed")
        topic = self._topics.frames if event.kind is EventKind.FRAME else self._topics.uploads
        try:
            acknowledgement: asyncio.Future[object] = await self._producer.send(
                topic, value, key=event.key.encode(), headers=headers
            )
        except KafkaError as error:
            raise PublishError(f"cannot send to {topic}: {_line(error)}") from error
        return acknowledgement

    @staticmethod
    async def _await(acknowledgement: asyncio.Future[object]) -> None:
        await acknowledgement

    async def _settle(self, delivery: Awaitable[None], size: int) -> None:
        """Await one delivery and note how it ended."""
        failure: PublishError | None = None
        try:
            await delivery
            self.acknowledged += 1
        except PublishError as error:
            failure = error
        except KafkaError as error:
            failure = PublishError(f"the broker did not take an image: {_line(error)}")
        except (Retry, Reject) as error:
            failure = PublishError(f"an image could not be stored: {_line(error)}")
        finally:
            self._bytes_in_flight -= size
            self._failure = self._failure or failure
            task = asyncio.current_task()
            if task is not None:
                self._tasks.discard(task)
            async with self._changed:
                self._changed.notify_all()


def claim_check_key(event: ImageEvent, data: bytes) -> str:
    """S3 key of an image: ``frames/{event}.jpg``.

    The same event has the same key whenever it is published. Cameras do not choose keys: the
    event's UUID stands for source and id.
    """
    kind = media_type(data)
    suffix = f".{extension(kind)}" if kind else ""
    room = "frames" if event.kind is EventKind.FRAME else "uploads"
    return f"{room}/{event.uuid}{suffix}"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
