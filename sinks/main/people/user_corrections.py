"""Corrections of users and their photos: merge, split, take out; and their undo.

The faces of a merge are not announced one by one: ``people.changes`` says whose they are now.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from domain.decisions.corrections import (
    CorrectionError,
    CorrectionKind,
    require_different,
    require_photos,
)
from domain.people.stored_corrections import Correction, CorrectionRequest, change_of
from domain.personal_data import Author
from sinks.main.people import correction_statements, user_statements
from sinks.main.people.correction_rows import add_correction, require_users, undo_request
from sinks.main.people.people_messages import note_changes
from sinks.main.withdrawn_photos import take_withdrawal_back, withdraw

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session


class UserCorrections:
    """Makes one correction in the connection's transaction."""

    def __init__(self, connection: "Session", is_erased: Callable[[UUID], Awaitable[bool]]) -> None:
        """Work on this connection.

        Args:
            connection: in a transaction.
            is_erased: whether the erasure of a user has begun.
        """
        self._connection = connection
        self._is_erased = is_erased

    async def make(self, request: CorrectionRequest) -> Correction:
        """Make it.

        Raises:
            CorrectionError: it cannot be made.
        """
        if request.kind is CorrectionKind.MERGE:
            return await self._merge(request)
        if request.kind is CorrectionKind.SPLIT:
            return await self._split(request)
        return await self._take_out(request)

    async def undo(self, undone: Correction, author: Author) -> Correction:
        """Undo it, as far as no later correction stands.

        Raises:
            CorrectionError: a user is gone, or was merged into another one since.
        """
        if undone.kind is CorrectionKind.MERGE:
            return await self._part(undone, author)
        users = [one for one in (undone.user_id, undone.other_user_id) if one is not None]
        await self._held(*users)
        request = undo_request(undone, author)
        correction = await add_correction(self._connection, request, {}, undone)
        faces = await self._fetch(user_statements.KEEP_FOR_UNDO, correction.id, undone.id)
        if undone.kind is CorrectionKind.SPLIT:
            await self._connection.execute(user_statements.GIVE_BACK, correction.id, undone.id)
        else:
            await self._connection.execute(user_statements.PUT_PHOTOS_BACK, correction.id)
            await take_withdrawal_back(self._connection, await self._photos_of(correction))
        change = change_of(correction, _ids(faces, "face_id"), (), undone=undone)
        await note_changes(self._connection, [change])
        return correction

    async def _merge(self, request: CorrectionRequest) -> Correction:
        kept, merged = request.user, _other(request)
        require_different(kept, merged)
        users = await self._held(kept, merged)
        detail = {"was_active": users[merged]["is_active"]}
        correction = await add_correction(self._connection, request, detail)
        execute = self._connection.execute
        faces = await self._fetch(user_statements.KEEP_FACES_OF_USER, request.id, merged)
        await execute(user_statements.GIVE_FACES, request.id, kept)
        await self._touch(user_statements.CAMERAS_OF_USER, merged)
        visits = await self._fetch(user_statements.KEEP_VISITS, request.id, merged)
        await execute(user_statements.GIVE_VISITS, request.id, kept)
        await execute(user_statements.JOIN_VETOES, request.id, kept, merged)
        await execute(user_statements.WITHDRAW_OWN_VETOES, request.id, kept)
        await execute(user_statements.MERGE_USER, merged, kept)
        change = change_of(correction, _ids(faces, "face_id"), _ids(visits, "visit_id"))
        await note_changes(self._connection, [change])
        return correction

    async def _part(self, undone: Correction, author: Author) -> Correction:
        """Undo a merge."""
        kept, merged = undone.user, undone.other_user_id
        assert merged is not None, "a merge has two users"  # noqa: S101
        await self._held(kept, merged, merged=merged)
        request = undo_request(undone, author)
        correction = await add_correction(self._connection, request, {}, undone)
        execute = self._connection.execute
        faces = await self._fetch(user_statements.KEEP_FOR_UNDO, correction.id, undone.id)
        await execute(user_statements.GIVE_BACK, correction.id, undone.id)
        await self._touch(user_statements.CAMERAS_OF_CORRECTION, undone.id)
        visits = await self._fetch(user_statements.GIVE_VISITS_BACK, undone.id, kept)
        await execute(correction_statements.DELETE_VETOES, undone.id)
        await execute(correction_statements.RESTORE_VETOES, undone.id)
        was_active = bool(undone.detail.get("was_active", True))
        await execute(user_statements.PART_USER, merged, was_active)
        change = change_of(
            correction, _ids(faces, "face_id"), _ids(visits, "visit_id"), undone=undone
        )
        await note_changes(self._connection, [change])
        return correction

    async def _split(self, request: CorrectionRequest) -> Correction:
        other = _other(request)
        require_different(request.user, other)
        await self._held(request.user, other)
        photos = await self._photos(request, request.face_ids)
        correction = await add_correction(self._connection, request, {"faces": len(photos)})
        faces = await self._fetch(user_statements.KEEP_PHOTOS, request.id, photos)
        await self._connection.execute(user_statements.GIVE_FACES, request.id, other)
        await note_changes(self._connection, [change_of(correction, _ids(faces, "face_id"), ())])
        return correction

    async def _take_out(self, request: CorrectionRequest) -> Correction:
        await self._held(request.user)
        photos = await self._photos(request, (request.face_id,) if request.face_id else ())
        correction = await add_correction(self._connection, request, {"faces": len(photos)})
        faces = await self._fetch(user_statements.KEEP_PHOTOS, request.id, photos)
        await self._connection.execute(user_statements.TAKE_PHOTOS_OUT, request.id)
        await withdraw(self._connection, await self._photos_of(correction))
        await note_changes(self._connection, [change_of(correction, _ids(faces, "face_id"), ())])
        return correction

    async def _held(self, *users: UUID, merged: UUID | None = None) -> "dict[UUID, asyncpg.Record]":
        """Hold users, none of whom is erased or merged into another one.

        Args:
            users: who.
            merged: of an undo, the one that is merged into the first of them.
        """
        if merged is None:
            found = await require_users(self._connection, users, "UPDATE")
        else:
            rows = await self._connection.fetch(
                correction_statements.USERS.format(lock="UPDATE"), list(users)
            )
            found = {row["id"]: row for row in rows}
            if found.keys() != set(users) or found[merged]["merged_into"] != users[0]:
                raise CorrectionError("user_not_found", "one of these users is gone")
            if found[users[0]]["merged_into"] is not None:
                what = "the user who was left was merged into another one; undo that first"
                raise CorrectionError("user_merged", what)
        for user in users:
            # The vector database has its tombstone first: nothing more may become this user's.
            if await self._is_erased(user):
                raise CorrectionError("user_not_found", "the user is being erased")
        return found

    async def _photos(self, request: CorrectionRequest, asked: tuple[UUID, ...]) -> list[UUID]:
        """All faces of the photos that are asked for."""
        rows = await self._fetch(user_statements.PHOTOS, request.user, list(asked))
        photos = [row["id"] for row in rows]
        require_photos(asked, photos)
        return photos

    async def _photos_of(self, correction: Correction) -> tuple[UUID, ...]:
        """The uploads whose faces it has changed."""
        rows = await self._fetch(user_statements.PHOTOS_OF_CORRECTION, correction.id)
        return _ids(rows, "event_uuid")

    async def _touch(self, cameras: str, identifier: UUID) -> None:
        """Have workers read these cameras again."""
        rows = await self._fetch(cameras, identifier)
        names = [row["camera_id"] for row in rows]
        await self._connection.execute(correction_statements.TOUCH_CAMERAS, names)

    async def _fetch(self, statement: str, *values: object) -> "list[asyncpg.Record]":
        return await self._connection.fetch(statement, *values)


def _other(request: CorrectionRequest) -> UUID:
    if request.other_user_id is None:
        raise CorrectionError("user_not_found", "two users are needed")
    return request.other_user_id


def _ids(rows: "list[asyncpg.Record]", name: str) -> tuple[UUID, ...]:
    return tuple(sorted(row[name] for row in rows))
