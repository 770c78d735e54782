"""Enrol and search as a client of the pipeline: publish a photo, await its answer."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from api.audit import record
from api.databases import Databases
from api.uploads import UploadClient
from config.settings import Settings
from sinks.answers import AnswerWaiter
from sinks.crops import Crops
from sinks.records import Records
from sinks.rows import UserRow
from streams.answers import UploadAnswer
from streams.events import ImageEvent
from streams.images import ImageProducer
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
        self, uploads: UploadClient, records: Records, databases: Databases, answer_timeout: float
    ) -> None:
        """Use what `open_client` has opened.

        Args:
            uploads: sends the photos and hears the answers.
            records: the users.
            databases: where the audit trail is.
            answer_timeout: how long to wait for an answer, in seconds.
        """
        self._uploads = uploads
        self._databases = databases
        self._answer_timeout = answer_timeout
        self.records = records

    async def enrol(self, user: UserRow, photos: Iterable[Path]) -> list[PhotoAnswer]:
        """Enrol a person from photos; their answers come in the photos' order.

        Raises:
            OSError: a photo cannot be read.
            PublishError: the broker did not take a photo.
            StoreUnavailable: the main database is away.
        """
        paths = list(photos)
        contents = [await asyncio.to_thread(path.read_bytes) for path in paths]
        uploads = [(enrol_event(user.id, data), data) for data in contents]
        async with self._databases.main.begin() as session:
            ids = [event.id for event, _ in uploads]
            record(session, actor(), "face.enrol", f"user:{user.id}", uploads=ids)
        answers = await self._ask(uploads)
        return [
            PhotoAnswer(path, user, answer) for path, answer in zip(paths, answers, strict=True)
        ]

    async def search(self, photo: Path) -> PhotoAnswer:
        """Ask who is in a photo.

        Raises:
            OSError: the photo cannot be read.
            PublishError: the broker did not take it.
            StoreUnavailable: the main database is away.
        """
        (answer,) = await self._ask([(search_event(), await asyncio.to_thread(photo.read_bytes))])
        return PhotoAnswer(photo, None, answer)

    async def _ask(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> list[UploadAnswer | None]:
        return await self._uploads.ask(uploads, self._answer_timeout)


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
        producer = await stack.enter_async_context(
            ImageProducer(settings.kafka, store_image=crops.store_source)
        )
        uploads = UploadClient(
            producer, waiter, records, publish_timeout=settings.kafka.request_timeout
        )
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        yield Client(uploads, records, databases, settings.api.answer_timeout)


def actor() -> str:
    """How the audit trail names who works at the command line: the account."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"
