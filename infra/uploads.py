"""Enrol and search as a client of the pipeline: publish a photo, await its answer."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from infra.publishing.publisher import FramePublisher
from sinks.answers import AnswerWaiter
from sinks.crops import Crops
from sinks.records import Records
from sinks.rows import UserRow
from streams.answers import UploadAnswer, decode_answer
from streams.events import ImageEvent
from streams.uploads import enrol_event, search_event


@dataclass(frozen=True, slots=True)
class PhotoAnswer:
    """What became of one photo.

    Attributes:
        photo: the file.
        user: of an enrolment, the person.
        answer: the pipeline's; None when it did not come in time.
    """

    photo: Path
    user: UserRow | None
    answer: UploadAnswer | None


class Client:
    """Publishes photos and awaits what the pipeline answers."""

    def __init__(
        self,
        publisher: FramePublisher,
        waiter: AnswerWaiter,
        records: Records,
        answer_timeout: float,
    ) -> None:
        """Use what `open_client` has opened.

        Args:
            publisher: sends the photos.
            waiter: hears the answers.
            records: users, and the ledger where answers are kept.
            answer_timeout: how long to wait for an answer, in seconds.
        """
        self._publisher = publisher
        self._waiter = waiter
        self._answer_timeout = answer_timeout
        self.records = records

    async def enrol(self, user: UserRow, photos: Iterable[Path]) -> list[PhotoAnswer]:
        """Enrol a person from photos; their answers come in the photos' order.

        Raises:
            OSError: a photo cannot be read.
            PublishError: the broker did not take a photo.
            StoreUnavailable: Redis is away.
        """
        paths = list(photos)
        contents = [await asyncio.to_thread(path.read_bytes) for path in paths]
        answers = await self._ask([(enrol_event(user.id, data), data) for data in contents])
        return [
            PhotoAnswer(path, user, answer) for path, answer in zip(paths, answers, strict=True)
        ]

    async def search(self, photo: Path) -> PhotoAnswer:
        """Ask who is in a photo.

        Raises:
            OSError: the photo cannot be read.
            PublishError: the broker did not take it.
            StoreUnavailable: Redis is away.
        """
        (answer,) = await self._ask([(search_event(), await asyncio.to_thread(photo.read_bytes))])
        return PhotoAnswer(photo, None, answer)

    async def _ask(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> list[UploadAnswer | None]:
        for event, photo in uploads:
            await self._publisher.publish(event, photo)
        await self._publisher.flush()
        return await asyncio.gather(*(self._answer(event) for event, _ in uploads))

    async def _answer(self, event: ImageEvent) -> UploadAnswer | None:
        payload = await self._waiter.wait(event.key, self._answer_timeout)
        return decode_answer(payload) if payload is not None else None


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[Client]:
    """Connect to the broker, to Redis and to the main database.

    Raises:
        PublishError: the broker is away.
        StoreUnavailable: a store is away.
    """
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(Records(settings.main_db))
        crops = await stack.enter_async_context(Crops(settings.s3))
        waiter = AnswerWaiter(settings.redis)
        waiter.start()
        stack.push_async_callback(waiter.close)
        publisher = await stack.enter_async_context(
            FramePublisher(settings.kafka, store_image=crops.store_source)
        )
        yield Client(publisher, waiter, records, settings.api.answer_timeout)
