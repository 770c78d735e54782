"""Corrections: what people say of faces, visits and users; for the API and the command line.

A correction is made when its transaction on the main database is committed. The vector database
follows at once; if it is unavailable, the follow workers repeat it until it has followed.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from config.settings import Settings
from domain.decisions.corrections import CorrectionError, CorrectionKind
from domain.events import ImageEvent
from domain.names.email_addresses import normal_address
from domain.names.person_names import tidy_name
from domain.people.stored_corrections import Correction, CorrectionRequest
from domain.personal_data import Author
from domain.upload_events import USER_INACTIVE, enrol_event
from services.audit import record
from services.photo_uploads import UploadClient
from services.unknowns.followed_templates import UnknownTemplates
from sinks.corrected_owners import follow_correction
from sinks.main.people.correction_store import CorrectionStore
from sinks.main.people.correction_work import CorrectionWork
from sinks.main.schema import Face, User
from sinks.main.unknowns.unknown_corrections import NewName, Promotion
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping
from sinks.main.visit_schema import VisitRow
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.stores import Stores
from sinks.vector.unknowns.unknown_gallery import UnknownGallery

logger = logging.getLogger(__name__)

Sessions = async_sessionmaker[AsyncSession]


class Corrections:
    """Makes, undoes and lists corrections."""

    def __init__(
        self,
        stores: Stores,
        store: CorrectionStore,
        work: CorrectionWork,
        unknowns: UnknownTemplates,
    ) -> None:
        """Correct in these stores; `open_corrections` opens what it takes.

        Args:
            stores: the vector database and the cache, which follow.
            store: the corrections.
            work: what is left to do for them.
            unknowns: the templates of unknowns, which follow, too.
        """
        self._vectors = stores.vectors
        self._recents = stores.recents
        self._store = store
        self._work = work
        self._unknowns = unknowns

    async def make(self, request: CorrectionRequest) -> Correction:
        """Make a correction.

        Raises:
            CorrectionError: it cannot be made; nothing was changed.
            StoreUnavailable: a database is unavailable; nothing was changed.
        """
        correction = await self._store.correct(request, self._vectors.is_erased)
        await self._follow(correction.id)
        return correction

    async def promote(self, unknown_id: UUID, name: NewName, author: Author) -> Promotion:
        """Give an unknown a name; its visits and their faces are the user's from now on.

        Doing it again with the same user is harmless. Photos are enrolled by the caller.

        Args:
            unknown_id: the unknown; one that was merged stands for the one that is left.
            name: who it is.
            author: who says it.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UserNotFoundError: there is no such user.
            UnknownIsUserError: it has become another user already.
            EmailTakenError: there is a user with this address.
            BadAddressError: it is no address.
            BadNameError: it is no name.
            StoreUnavailable: the main database is unavailable; nothing was changed.
        """
        stored = NewName(
            user_id=name.user_id,
            email=None if name.email is None else normal_address(name.email),
            full_name=None if name.full_name is None else tidy_name(name.full_name),
        )
        done = await self._store.promote(unknown_id, stored, author)
        await self._follow(done.correction_id)
        await self._follow_unknown(done.unknown_id)
        return done

    async def dismiss(self, unknown_id: UUID, author: Author) -> tuple[UUID, UUID]:
        """Put an unknown aside: it is not listed, and its next visits do not bring it back.

        Returns:
            The unknown (of one that was merged, the one that is left), and the correction.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UnknownIsUserError: it has become a user.
            StoreUnavailable: the main database is unavailable; nothing was changed.
        """
        return await self._store.dismiss(unknown_id, author)

    async def undo(self, correction_id: UUID, author: Author) -> Correction:
        """Undo a correction, as far as no later one stands; returns the undo.

        Raises:
            CorrectionError: there is none, or it cannot be undone any more.
            StoreUnavailable: a database is unavailable; nothing was changed.
        """
        correction = await self._store.undo(correction_id, author, self._vectors.is_erased)
        await self._follow(correction.id)
        if correction.unknown_id is not None:
            await self._follow_unknown(correction.unknown_id)
        return correction

    async def find(self, correction_id: UUID) -> Correction:
        """One correction.

        Raises:
            CorrectionError: ``correction_not_found``.
            StoreUnavailable: the main database is unavailable.
        """
        found = await self._store.correction(correction_id)
        if found is None:
            raise CorrectionError("correction_not_found", "there is no correction with this id")
        return found

    async def list(
        self, limit: int, *, user: UUID | None = None, after: tuple[datetime, UUID] | None = None
    ) -> list[Correction]:
        """Corrections, newest first; see `CorrectionStore.corrections`.

        Raises:
            StoreUnavailable: the main database is unavailable.
        """
        return await self._store.corrections(limit, user=user, after=after)

    async def _follow(self, correction_id: UUID) -> None:
        try:
            async with self._work.held(correction_id) as held:
                await follow_correction(held, self._vectors, self._recents)
        except (StoreUnavailable, StoreRejected) as error:
            # The correction is made, and this is noted with it.
            logger.warning("correction %s is left to the follow workers: %s", correction_id, error)

    async def _follow_unknown(self, unknown_id: UUID) -> None:
        try:
            await self._unknowns.follow(unknown_id)
        except (StoreUnavailable, StoreRejected) as error:
            # As above: the row of the unknown says that it is due.
            logger.warning("unknown %s is left to maintenance: %s", unknown_id, error)


@asynccontextmanager
async def open_corrections(stores: Stores, settings: Settings) -> AsyncIterator[Corrections]:
    """Open what corrections take; connections are made when they are needed.

    Args:
        stores: opened by the caller.
        settings: of both databases.
    """
    lazy = {"pool_min": 0}
    async with (
        CorrectionStore(settings.main_db) as store,
        CorrectionWork(settings.main_db) as work,
        UnknownRegrouping(settings.main_db.model_copy(update=lazy)) as unknowns,
        UnknownGallery(settings.vector_db.model_copy(update=lazy)) as gallery,
    ):
        yield Corrections(stores, store, work, UnknownTemplates(unknowns, gallery))


async def enrol_corrected(
    stores: Stores,
    sessions: Sessions,
    uploads: UploadClient,
    actor: str,
    correction: Correction,
) -> ImageEvent:
    """Send the crop of a face that is a user in, to be enrolled by the ordinary checks.

    Of a visit the crop of its best face.

    Args:
        stores: where the crop is.
        sessions: on the main database.
        uploads: sends it.
        actor: for the audit trail.
        correction: which said that it is the user.

    Returns:
        The event of the photo; its answer says whether it was enrolled.

    Raises:
        CorrectionError: ``crop_not_found``, ``user_inactive``, or there is no such user.
        PublishError: the broker did not take it.
        StoreUnavailable: a store is unavailable.
    """
    if correction.kind is not CorrectionKind.IS_USER:
        raise CorrectionError("not_enrollable", "only a face that is a user can be enrolled")
    user_id = correction.user
    async with sessions() as session:
        face_id = correction.face_id
        if face_id is None:
            best = select(VisitRow.best_face_id).where(VisitRow.visit_id == correction.visit_id)
            face_id = await session.scalar(best)
        face = None if face_id is None else await session.get(Face, face_id)
        key = None if face is None else face.shown_crop_key
    try:
        crop = None if key is None else await stores.crops.get(key)
    except StoreRejected:
        crop = None
    if crop is None:
        raise CorrectionError("crop_not_found", "there is no crop of this face to enrol")
    event = enrol_event(user_id, crop)
    async with sessions.begin() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise CorrectionError("user_not_found", "there is no user with this id")
        if not user.is_active:
            raise CorrectionError(USER_INACTIVE.code, USER_INACTIVE.message)
        record(session, actor, "face.enrol", f"user:{user_id}", uploads=[event.id])
    await uploads.publish([(event, crop)])
    return event
