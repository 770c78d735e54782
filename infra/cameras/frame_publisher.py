"""Many images onto Kafka, within bounds: every one acknowledged, or an error that says why."""

import asyncio
from collections.abc import Awaitable
from typing import Self

from config.settings import KafkaSettings
from domain.events import ImageEvent
from streams.clients.image_producer import ImageProducer, PublishError, StoreImage

#: Bounds of what is sent and not yet acknowledged.
MAX_IN_FLIGHT = 64
MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024


class FramePublisher:
    """Publishes a run of frames or uploads; an asynchronous context manager.

    ``publish`` returns as soon as the image is being sent, and waits only while too many are;
    ``flush`` waits for the rest. The next call of either raises the first failure, of any
    kind; all failures are counted.

    Attributes:
        acknowledged: images that the broker has confirmed.
        failed: images that could not be delivered.

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
            store_image: see `streams.clients.image_producer.ImageProducer`.
            claim_check: see `streams.clients.image_producer.ImageProducer`.
        """
        self._producer = ImageProducer(kafka, store_image=store_image, claim_check=claim_check)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes_in_flight = 0
        self._failure: PublishError | None = None
        self.acknowledged = 0
        self.failed = 0

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.stop()

    @property
    def in_flight(self) -> int:
        """How many images are on their way and not acknowledged."""
        return len(self._tasks)

    async def publish(self, event: ImageEvent, data: bytes) -> None:
        """Send an image; waits while too much is in flight.

        Args:
            event: what the image is; frames and uploads go to their topics.
            data: JPEG, PNG or WebP bytes.

        Raises:
            PublishError: this or an earlier image could not be delivered.
        """
        async with self._changed:
            await self._changed.wait_for(self._has_room)
        self._raise_failure()
        try:
            delivery = await self._producer.hand_over(event, data)
        except Exception as error:
            self.failed += 1
            if isinstance(error, PublishError):
                raise
            raise _unexpected(error) from error
        self._bytes_in_flight += len(data)
        task = asyncio.create_task(self._settle(delivery, len(data)))
        self._tasks.add(task)

    async def flush(self) -> None:
        """Wait until everything is acknowledged, or has failed.

        Raises:
            PublishError: an image could not be delivered.
        """
        await self.settled()
        self._raise_failure()

    async def settled(self) -> None:
        """Wait until no image is being sent, whether it failed or not."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._tasks)

    def _has_room(self) -> bool:
        return (
            len(self._tasks) < MAX_IN_FLIGHT and self._bytes_in_flight < MAX_IN_FLIGHT_BYTES
        ) or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _settle(self, delivery: Awaitable[None], size: int) -> None:
        """Await one delivery and note how it ended."""
        failure: PublishError | None = None
        try:
            await delivery
            self.acknowledged += 1
        except PublishError as error:
            failure = error
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            failure = PublishError("an image could not be delivered: the client was closed")
        except Exception as error:  # noqa: BLE001 - reported by whatever is called next
            failure = _unexpected(error)
        finally:
            self._bytes_in_flight -= size
            self.failed += failure is not None
            self._failure = self._failure or failure
            task = asyncio.current_task()
            if task is not None:
                self._tasks.discard(task)
            async with self._changed:
                self._changed.notify_all()


def _unexpected(error: Exception) -> PublishError:
    detail = " ".join(str(error).split())
    name = type(error).__name__
    failure = PublishError(f"an image could not be delivered: {name}{': ' * bool(detail)}{detail}")
    failure.__cause__ = error
    return failure
