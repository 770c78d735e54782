"""Corrections for the command line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from config.settings import Settings
from domain.decisions.corrections import CorrectionKind
from domain.events import utc_now
from domain.people.stored_corrections import Correction, CorrectionRequest
from domain.personal_data import Author
from infra.photos.upload_requests import actor, open_client
from services.people.people_corrections import Corrections, open_corrections
from services.user_lookup import find_user
from sinks.main.database_sessions import Databases
from sinks.stores import Stores, opened

if TYPE_CHECKING:
    from infra.terminal.tables import Row


class CorrectionClient:
    """Makes corrections of users who are named by id or address.

    All methods raise `NoSuchUserError`, `CorrectionError` and `StoreUnavailable`.
    """

    def __init__(
        self, corrections: Corrections, databases: Databases, stores: Stores, settings: Settings
    ) -> None:
        """Use what `open_correction_client` has opened."""
        self._corrections = corrections
        self._databases = databases
        self._stores = stores
        self._settings = settings

    async def label(
        self, user: str, face_id: UUID | None, visit_id: UUID | None, *, is_user: bool
    ) -> Correction:
        """Say that a face, or the person of a visit, is a user or is not."""
        kind = CorrectionKind.IS_USER if is_user else CorrectionKind.NOT_USER
        user_id = await self._id_of(user)
        return await self._corrections.make(
            CorrectionRequest(
                kind=kind,
                author=Author(actor()),
                user_id=user_id,
                face_id=face_id,
                visit_id=visit_id,
            )
        )

    async def merge(self, user: str, other: str) -> Correction:
        """Say that the other user is the same person."""
        user_id, other_id = await self._id_of(user), await self._id_of(other)
        return await self._corrections.make(
            CorrectionRequest(
                kind=CorrectionKind.MERGE,
                author=Author(actor()),
                user_id=user_id,
                other_user_id=other_id,
            )
        )

    async def split(self, user: str, other: str, photos: Sequence[UUID]) -> Correction:
        """Say that photos show the other user."""
        user_id, other_id = await self._id_of(user), await self._id_of(other)
        return await self._corrections.make(
            CorrectionRequest(
                kind=CorrectionKind.SPLIT,
                author=Author(actor()),
                user_id=user_id,
                other_user_id=other_id,
                face_ids=tuple(photos),
            )
        )

    async def take_out(self, user: str, photo: UUID) -> Correction:
        """Take a photo out."""
        return await self._corrections.make(
            CorrectionRequest(
                kind=CorrectionKind.PHOTO_OUT,
                author=Author(actor()),
                user_id=await self._id_of(user),
                face_id=photo,
            )
        )

    async def undo(self, correction_id: UUID) -> Correction:
        """Undo a correction."""
        return await self._corrections.undo(correction_id, Author(actor()))

    async def list(self, limit: int, user: str | None) -> list[Correction]:
        """Corrections, newest first."""
        user_id = None if user is None else await self._id_of(user)
        return await self._corrections.list(limit, user=user_id)

    async def enrol(self, correction: Correction) -> str:
        """Enrol the crop of a face that is a user; what became of it, for people.

        Raises:
            PublishError: the broker did not accept it.
        """
        async with open_client(self._settings) as client:
            answer = await client.enrol_corrected(self._stores, correction)
        if answer is None:
            return "the enrolment is not answered yet"
        if answer.status == "enrolled":
            return f"enrolled; the user has {answer.photos} photos"
        return f"not enrolled: {answer.message}"

    async def _id_of(self, user: str) -> UUID:
        async with self._databases.main() as session:
            return (await find_user(session, user)).id


@asynccontextmanager
async def open_correction_client(settings: Settings) -> AsyncIterator[CorrectionClient]:
    """Connect to the stores.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(Databases(settings))
        stores = await stack.enter_async_context(opened(Stores.of(settings)))
        corrections = await stack.enter_async_context(open_corrections(stores, settings))
        yield CorrectionClient(corrections, databases, stores, settings)


def correction_row(one: Correction) -> "Row":
    """A correction, for a listing."""
    return {
        "id": one.id,
        "kind": one.kind.value,
        "made_at": one.made_at,
        "actor": one.actor,
        "user_id": one.user_id,
        "other_user_id": one.other_user_id,
        "face_id": one.face_id,
        "visit_id": one.visit_id,
        "unknown_id": one.unknown_id,
        "undoes": one.undoes,
        "undone_by": one.undone_by,
        "can_be_undone": one.can_be_undone(utc_now()),
        "undo_until": one.undo_until,
    }
