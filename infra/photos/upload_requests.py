"""Enrol and search as a client of the pipeline: publish a photo, await its answer."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from config.settings import Settings
from domain.events import ImageEvent
from domain.people.stored_corrections import Correction
from domain.personal_data import Author
from domain.store_rows import UserRow
from domain.upload_answers import UploadAnswer
from domain.upload_events import USER_INACTIVE, enrol_event, search_event
from domain.user_errors import EmailTakenError, ExternalIdTakenError
from services.audit import record
from services.current_embedder import embedder_in_force
from services.erasure import erase_unless_used
from services.people.people_corrections import enrol_corrected
from services.photo_uploads import UploadClient
from services.unknowns.unknown_promotion import note_photos
from services.users import find_or_make_user
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.main.database_sessions import Databases
from sinks.main.main_store import Records
from sinks.main.models.model_store import ModelStore
from sinks.main.schema import User
from sinks.objects.crops import Crops
from sinks.stores import Stores, opened
from streams.clients.image_producer import ImageProducer

#: The number of audit entries of a user who is created and then has photos sent: one for each.
_OWN_ENTRIES = 2


@dataclass(frozen=True, slots=True)
class PhotoAnswer:
    """What became of one photo.

    Attributes:
        photo: the file.
        user: of an enrolment, the person.
        answer: the pipeline's; None when it did not come in time.
        removed: the user was made for this enrolment, and is gone with its last photo refused.
    """

    photo: Path
    user: UserRow | None
    answer: UploadAnswer | None
    removed: bool = False


class Client:
    """Publishes photos and awaits what the pipeline answers."""

    def __init__(
        self, uploads: UploadClient, records: Records, databases: Databases, settings: Settings
    ) -> None:
        """Use what `open_client` has opened.

        Args:
            uploads: sends the photos and receives the answers.
            records: the users.
            databases: where the audit trail is.
            settings: how long to wait for an answer, and where the stores are.
        """
        self._uploads = uploads
        self._databases = databases
        self._settings = settings
        self._answer_timeout = settings.api.answer_timeout
        self.records = records

    async def enrol_person(  # noqa: PLR0913 - the user and the photos
        self,
        email: str | None,
        full_name: str | None,
        photos: Iterable[Path],
        *,
        external_id: str | None = None,
        former_emails: Sequence[str] = (),
        name_decides: bool = False,
        force: bool = False,
    ) -> list[PhotoAnswer]:
        """Enrol a person from photos; made a user when new.

        Photos of a deactivated user are refused, as everywhere, and none is sent.

        If all photos of a user that was created here are refused, the user is erased again: no
        camera could recognise the user, and the photos are personal data. The user is kept if
        another client has changed the user since then, or has sent a photo, with any outcome.

        Args:
            email: names the user, unless an external id does.
            full_name: replaces another; None leaves it as it is.
            photos: image files.
            external_id: names the user; then there need be no address.
            former_emails: addresses under which the user may be stored instead.
            name_decides: the address was made from the name.
            force: enrol the photos whatever they resemble.

        Raises:
            OSError: a photo cannot be read; nothing was done then.
            OtherUserError: the address was made from the name, and is that of another name.
            EmailTakenError: the external id is new, and the address is another user's.
            UnnamedUserError: neither an address nor an external id is given.
            BadAddressError: it is no address.
            BadExternalIdError: it is no external id.
            BadNameError: it is no name.
            PublishError: the broker did not accept a photo.
            StoreUnavailable: a store is unavailable.
        """
        paths = list(photos)
        contents = [await asyncio.to_thread(path.read_bytes) for path in paths]
        user, is_new = await self._find_or_make(
            email,
            full_name,
            external_id=external_id,
            former_emails=former_emails,
            name_decides=name_decides,
        )
        if not user.is_active:
            return [
                PhotoAnswer(path, user, _inactive(user.id, data))
                for path, data in zip(paths, contents, strict=True)
            ]
        answers = await self._enrol(user, paths, contents, force=force)
        refused = [one for one in answers if one.answer and one.answer.status == "refused"]
        if is_new and len(refused) == len(answers) and await self._remove(user):
            return [replace(one, removed=True) for one in answers]
        return answers

    async def _find_or_make(
        self,
        email: str | None,
        full_name: str | None,
        *,
        external_id: str | None,
        former_emails: Sequence[str],
        name_decides: bool,
    ) -> tuple[UserRow, bool]:
        has_looked_again = False
        while True:
            try:
                async with self._databases.main.begin() as session:
                    user, is_new = await find_or_make_user(
                        session,
                        actor(),
                        email,
                        full_name,
                        external_id=external_id,
                        former_emails=former_emails,
                        name_decides=name_decides,
                    )
            except ExternalIdTakenError:
                continue  # another client was faster; the user can be found now
            except EmailTakenError:
                # As above; but a user who is found by external id may not have this address.
                if external_id is not None and has_looked_again:
                    raise
                has_looked_again = True
                continue
            return _row_of(user), is_new

    async def _remove(self, user: UserRow) -> bool:
        """Erase a user that was just created, unless another client has used it since then."""
        async with opened(Stores.of(self._settings)) as stores:
            return await erase_unless_used(stores, user.id, Author(actor()), _OWN_ENTRIES)

    async def enrol(self, user: UserRow, photos: Iterable[Path]) -> list[PhotoAnswer]:
        """Enrol a person from photos; their answers come in the photos' order.

        Raises:
            OSError: a photo cannot be read.
            PublishError: the broker did not accept a photo.
            StoreUnavailable: the main database is unavailable.
        """
        paths = list(photos)
        contents = [await asyncio.to_thread(path.read_bytes) for path in paths]
        return await self._enrol(user, paths, contents)

    async def _enrol(
        self,
        user: UserRow,
        paths: Sequence[Path],
        contents: Sequence[bytes],
        *,
        force: bool = False,
    ) -> list[PhotoAnswer]:
        uploads = [(enrol_event(user.id, data, force=force), data) for data in contents]
        said = {"force": True} if force else {}
        async with self._databases.main.begin() as session:
            ids = [event.id for event, _ in uploads]
            record(session, actor(), "face.enrol", f"user:{user.id}", uploads=ids, **said)
        answers = await self._ask(uploads)
        return [
            PhotoAnswer(path, user, answer) for path, answer in zip(paths, answers, strict=True)
        ]

    async def enrol_promoted(
        self, user_id: UUID, pictures: Sequence[bytes], promotion: UUID
    ) -> list[UploadAnswer | None]:
        """Enrol a user from the pictures of an unknown; the answers come in their order.

        Args:
            user_id: who the unknown is.
            pictures: image bytes.
            promotion: the correction, whose undo takes them out.

        Raises:
            CorrectionError: ``promotion_undone``.
            PublishError: the broker did not accept a picture.
            StoreUnavailable: the main database is unavailable.
        """
        uploads = [(enrol_event(user_id, data), data) for data in pictures]
        async with self._databases.main.begin() as session:
            ids = [event.id for event, _ in uploads]
            await note_photos(session, promotion, ids)
            record(session, actor(), "face.enrol", f"user:{user_id}", uploads=ids)
        return await self._ask(uploads)

    async def enrol_corrected(self, stores: Stores, correction: Correction) -> UploadAnswer | None:
        """Enrol the crop of a face of which a person has said whose it is.

        Raises:
            CorrectionError: there is no crop, or the user is deactivated.
            PublishError: the broker did not accept it.
            StoreUnavailable: a store is unavailable.
        """
        event = await enrol_corrected(
            stores, self._databases.main, self._uploads, actor(), correction
        )
        (answer,) = await self._uploads.answers([event], self._answer_timeout)
        return answer

    async def search(self, photo: Path, *, for_sightings: bool = False) -> PhotoAnswer:
        """Ask who is in a photo.

        Args:
            photo: the file.
            for_sightings: see `search_event`.

        Raises:
            OSError: the photo cannot be read.
            PublishError: the broker did not accept it.
            StoreUnavailable: the main database is unavailable.
        """
        event = search_event(for_sightings=for_sightings)
        (answer,) = await self._ask([(event, await asyncio.to_thread(photo.read_bytes))])
        return PhotoAnswer(photo, None, answer)

    async def _ask(self, uploads: Sequence[tuple[ImageEvent, bytes]]) -> list[UploadAnswer | None]:
        return await self._uploads.ask(uploads, self._answer_timeout)


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[Client]:
    """Connect to the broker, to Redis and to the main database.

    Raises:
        PublishError: the broker is unavailable.
        StoreUnavailable: a store is unavailable.
    """
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(Records(settings.main_db))
        models = await stack.enter_async_context(ModelStore(settings.main_db))
        crops = await stack.enter_async_context(Crops(settings.s3))
        waiter = AnswerWaiter(settings.redis)
        waiter.start()
        stack.push_async_callback(waiter.close)
        producer = await stack.enter_async_context(
            ImageProducer(settings.kafka, store_image=crops.store_source)
        )
        uploads = UploadClient(
            producer,
            waiter,
            records,
            publish_timeout=settings.kafka.request_timeout,
            model=await embedder_in_force(settings.models),
            serving=models.serving,
        )
        databases = await stack.enter_async_context(Databases(settings))
        yield Client(uploads, records, databases, settings)


def _inactive(user_id: UUID, photo: bytes) -> UploadAnswer:
    """What the pipeline would answer."""
    return UploadAnswer(
        upload_id=enrol_event(user_id, photo).id,
        status="refused",
        model="",
        code=USER_INACTIVE.code,
        message=USER_INACTIVE.message,
    )


def _row_of(user: User) -> UserRow:
    return UserRow(
        id=user.id,
        email=user.email,
        full_name=user.full_name,
        external_id=user.external_id,
        is_active=user.is_active,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )


def actor() -> str:
    """How the audit trail names who works at the command line: the account."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"
