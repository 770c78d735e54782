"""Corrections in the main database: made, undone and listed; each in one transaction.

The transaction is the commit point: labels, vetoes, messages and the line of the audit trail are
written together. What the vector database has follows (`sinks.main.people.correction_work`).
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import structs

from config.settings import DatabaseSettings
from domain.decisions.corrections import (
    CorrectionError,
    CorrectionKind,
    relabelled_all,
    require_undoable,
    vetoes_of,
)
from domain.people.stored_corrections import Correction, CorrectionRequest, change_of
from domain.personal_data import Author
from sinks.main.people import correction_statements as sql
from sinks.main.people.correction_rows import (
    add_correction,
    correction_of,
    hold_users,
    require_users,
    undo_request,
)
from sinks.main.people.face_labels import label_faces, label_of, labels_before, restore_vetoes
from sinks.main.people.people_messages import note_changes
from sinks.main.people.user_corrections import UserCorrections
from sinks.main.people.visit_labels import label_visit, visit_of
from sinks.main.unknowns.unknown_corrections import NewName, Promotion, UnknownCorrections
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

_encode = msgspec.json.Encoder().encode


class CorrectionStore(PostgresSink):
    """Makes and undoes corrections. All methods raise the errors of `sinks.store_errors`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; connections are made when needed."""
        super().__init__(settings.model_copy(update={"pool_min": 0}), "main")

    async def correct(
        self, request: CorrectionRequest, is_erased: Callable[[UUID], Awaitable[bool]]
    ) -> Correction:
        """Make a correction.

        Args:
            request: what a person says.
            is_erased: whether the erasure of a user has begun; asked while the users are held.

        Raises:
            CorrectionError: it cannot be made; nothing was changed.
        """

        async def make(connection: "Session") -> Correction:
            if request.kind in {CorrectionKind.NOT_USER, CorrectionKind.IS_USER}:
                return await _correct_label(connection, request)
            return await UserCorrections(connection, is_erased).make(request)

        return await self._transaction("correct", make)

    async def undo(
        self, correction_id: UUID, author: Author, is_erased: Callable[[UUID], Awaitable[bool]]
    ) -> Correction:
        """Undo a correction; what a later one has said stays.

        Args:
            correction_id: the correction.
            author: who undoes it.
            is_erased: see `correct`.

        Raises:
            CorrectionError: ``correction_not_found``, or it cannot be undone any more.
        """

        async def make(connection: "Session") -> Correction:
            undone = await _held(connection, correction_id)
            if undone.kind in {CorrectionKind.PROMOTE, CorrectionKind.DISMISS}:
                return await UnknownCorrections(connection).undo(undone, author, is_erased)
            if undone.kind in {CorrectionKind.NOT_USER, CorrectionKind.IS_USER}:
                return await _restore_label(connection, undone, author)
            return await UserCorrections(connection, is_erased).undo(undone, author)

        return await self._transaction("undo a correction", make)

    async def promote(self, unknown_id: UUID, name: NewName, author: Author) -> Promotion:
        """Give an unknown a name; see `UnknownCorrections.promote`.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UserNotFoundError: there is no such user.
            UnknownIsUserError: it has become another user already.
            EmailTakenError: there is a user with this address.
        """

        async def make(connection: "Session") -> Promotion:
            return await UnknownCorrections(connection).promote(unknown_id, name, author)

        return await self._transaction("promote an unknown", make)

    async def dismiss(self, unknown_id: UUID, author: Author) -> tuple[UUID, UUID]:
        """Put an unknown aside; see `UnknownCorrections.dismiss`.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UnknownIsUserError: it has become a user.
        """

        async def make(connection: "Session") -> tuple[UUID, UUID]:
            return await UnknownCorrections(connection).dismiss(unknown_id, author)

        return await self._transaction("dismiss an unknown", make)

    async def correction(self, correction_id: UUID) -> Correction | None:
        """One correction, if there is one."""
        async with self._connection("read a correction") as connection:
            row = await connection.fetchrow(sql.CORRECTION, correction_id)
        return None if row is None else correction_of(row)

    async def corrections(
        self, limit: int, *, user: UUID | None = None, after: tuple[datetime, UUID] | None = None
    ) -> list[Correction]:
        """Corrections, newest first.

        Args:
            limit: at most so many.
            user: only of this user.
            after: time and id of the correction after which to begin.
        """
        async with self._connection("list corrections") as connection:
            rows = await connection.fetch(sql.CORRECTIONS, user, *(after or (None, None)), limit)
        return [correction_of(row) for row in rows]


async def _correct_label(connection: "Session", request: CorrectionRequest) -> Correction:
    """Say that a face, or the person of a visit, is a user or is not."""
    named = await connection.fetch(sql.NAMED_NOW, request.face_id, request.visit_id)
    await hold_users(connection, {row["user_id"] for row in named} | {request.user})
    await require_users(connection, [request.user], "KEY SHARE")
    camera: str | None = None
    if request.visit_id is not None:
        camera = await connection.fetchval(sql.CAMERA_OF_VISIT, request.visit_id)
        if camera is None:
            raise CorrectionError("visit_not_found", "there is no visit with this id")
        rows = await connection.fetch(sql.FACES_OF_VISIT, request.visit_id)
    else:
        rows = await connection.fetch(sql.FACE, request.face_id)
        if not rows:
            raise CorrectionError("face_not_found", "no camera saw a face with this id")
    before = [label_of(row) for row in rows]
    embeddings = list({one.embedded_as for one in before})
    denied = await connection.fetch(sql.DENIED, embeddings, request.user)
    after = relabelled_all(request.kind, before, request.user, {row["face_id"] for row in denied})
    vetoes = vetoes_of(request.kind, before, request.user)
    others = {one.user_id for one in before if one.user_id not in {None, request.user}}
    other = others.pop() if request.kind is CorrectionKind.IS_USER and len(others) == 1 else None
    request = structs.replace(request, other_user_id=other)
    correction = await add_correction(
        connection, request, {"faces": len(after), "vetoes": len(vetoes)}
    )
    await label_faces(connection, request.id, after)
    await connection.execute(
        sql.ADD_VETOES,
        request.id,
        [veto.face_id for veto in vetoes],
        [veto.user_id for veto in vetoes],
    )
    if request.kind is CorrectionKind.IS_USER:
        await connection.execute(sql.WITHDRAW_VETOES, request.id, embeddings, request.user)
    visits: list[UUID] = []
    if request.visit_id is not None and camera is not None:
        visits = await _correct_visit(connection, request, camera)
    faces = tuple(one.face_id for one in after)
    await note_changes(connection, [change_of(correction, faces, tuple(visits))])
    return correction


async def _correct_visit(
    connection: "Session", request: CorrectionRequest, camera: str
) -> list[UUID]:
    """Say whose a visit is; one that was not taken for the user is left as it is."""
    await connection.execute(sql.TOUCH_CAMERAS, [camera])
    row = await connection.fetchrow(sql.VISIT, request.visit_id)
    if row is None:
        raise CorrectionError("visit_not_found", "there is no visit with this id")
    denied = request.kind is CorrectionKind.NOT_USER
    if denied and row["user_id"] != request.user:
        again = await connection.fetchval(sql.DENIED_BEFORE, row["correction_id"], request.user)
        if row["user_id"] is not None or not again:
            return []
    user_id = None if denied else request.user
    await label_visit(connection, request.id, visit_of(row), user_id, None, request.id)
    return [row["visit_id"]]


async def _restore_label(connection: "Session", undone: Correction, author: Author) -> Correction:
    """Undo `_correct_label`, as far as no later correction stands."""
    named = {one for one in (undone.user_id, undone.other_user_id) if one is not None}
    named |= {row["user_id"] for row in await connection.fetch(sql.NAMED_BEFORE, undone.id)}
    left = await hold_users(connection, named)
    after = await labels_before(connection, undone.id, left)
    request = undo_request(undone, author)
    correction = await add_correction(connection, request, {"faces": len(after)}, undone)
    await label_faces(connection, correction.id, after)
    await restore_vetoes(connection, undone.id)
    visits: list[UUID] = []
    for before in await connection.fetch(sql.VISIT_OF_CORRECTION, undone.id):
        await connection.execute(sql.TOUCH_CAMERAS, [before["camera_id"]])
        row = await connection.fetchrow(sql.VISIT, before["visit_id"])
        if row is not None and row["correction_id"] == undone.id:
            user, similarity = before["user_id"], before["similarity"]
            user = left.get(user, user)
            similarity = None if user is None else similarity
            visit = visit_of(row)
            await label_visit(connection, correction.id, visit, user, similarity, before["before"])
            visits.append(visit.visit_id)
    faces = tuple(one.face_id for one in after)
    change = change_of(correction, faces, tuple(visits), undone=undone)
    await note_changes(connection, [change])
    return correction


async def _held(connection: "Session", correction_id: UUID) -> Correction:
    """A correction that can be undone; others who undo it wait.

    Raises:
        CorrectionError: there is none, or it cannot be undone.
    """
    await connection.fetchval(sql.HOLD_CORRECTION, correction_id)
    row = await connection.fetchrow(sql.CORRECTION, correction_id)
    if row is None:
        raise CorrectionError("correction_not_found", "there is no correction with this id")
    found = correction_of(row)
    now = await connection.fetchval("SELECT now()")
    require_undoable(found.kind, found.made_at, now, undone=found.undone_by is not None)
    return found
