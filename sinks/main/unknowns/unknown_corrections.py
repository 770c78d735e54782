"""Promotions and dismissals of unknowns: corrections, each with its undo, in one transaction.

Faces of a promotion are not announced one by one: ``people.changes`` says whose they are now. Its
visits are.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import structs

from domain.decisions.corrections import CorrectionError, CorrectionKind
from domain.people.stored_corrections import Correction, CorrectionRequest, change_of
from domain.personal_data import Author
from domain.user_errors import (
    EmailTakenError,
    NoSuchUnknownError,
    UnknownIsUserError,
    UserNotFoundError,
)
from domain.visit_events import VisitMessage, VisitType
from sinks.main.people import correction_statements, user_statements
from sinks.main.people.correction_rows import add_correction, hold_users, undo_request
from sinks.main.people.face_labels import label_faces, labels_before, restore_vetoes
from sinks.main.people.people_messages import note_changes
from sinks.main.people.visit_labels import visit_of
from sinks.main.unknowns import promotion_statements as sql
from sinks.main.visit_store import message_fields
from sinks.main.visits import visit_statements
from sinks.store_errors import StoreRejected

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session

_UNIQUE_VIOLATION = "23505"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewName:
    """Who an unknown is: an existing user, or one that is made.

    Attributes:
        user_id: the user; None makes one.
        email: of the user that is made, as it is stored; None without one.
        full_name: of the user that is made, as it is stored; None if it is not known.
    """

    user_id: UUID | None = None
    email: str | None = None
    full_name: str | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion has done.

    Attributes:
        unknown_id: the unknown.
        user_id: who it is.
        visits: visits that are the user's now.
        faces: their faces that are the user's now.
        correction_id: names the promotion, for an undo.
    """

    unknown_id: UUID
    user_id: UUID
    visits: int
    faces: int
    correction_id: UUID


class UnknownCorrections:
    """Makes one correction in the connection's transaction."""

    def __init__(self, connection: "Session") -> None:
        """Work on this connection, in a transaction."""
        self._connection = connection

    async def promote(self, unknown_id: UUID, name: NewName, author: Author) -> Promotion:
        """Make an unknown's visits and their faces a user's; those of other users stay theirs.

        Doing it again with the same user is harmless.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UserNotFoundError: there is no such user.
            UnknownIsUserError: it has become another user already.
            EmailTakenError: there is a user with this address.
        """
        if name.user_id is None:
            unknown = await self._held(unknown_id)
            user_id, is_made = await self._named(unknown, name, author)
        else:
            # Users are locked before unknowns, as an erasure does it.
            user_id, is_made = await self._left_user(name.user_id), False
            unknown = await self._held(unknown_id)
        if unknown["state"] == "promoted":
            if unknown["user_id"] != user_id:
                raise UnknownIsUserError(unknown["user_id"])
            made = await self._standing(unknown["id"], CorrectionKind.PROMOTE)
            return Promotion(unknown["id"], user_id, 0, 0, made)
        request = CorrectionRequest(
            kind=CorrectionKind.PROMOTE, author=author, user_id=user_id, unknown_id=unknown["id"]
        )
        detail = {"state": unknown["state"], "made_user": is_made}
        correction = await add_correction(self._connection, request, detail)
        made_by, execute = correction.id, self._connection.execute
        await execute(sql.SET_STATE, unknown["id"], "promoted", user_id, True)
        await execute(sql.WITHDRAW_VETOES, made_by, unknown["id"], user_id)
        faces = await self._fetch(sql.KEEP_FACES, made_by, unknown["id"])
        await execute(sql.GIVE_FACES, made_by, user_id)
        await self._touch(sql.CAMERAS, unknown["id"])
        visits = await self._fetch(sql.KEEP_VISITS, made_by, unknown["id"])
        await execute(sql.GIVE_VISITS, made_by, user_id)
        await self._announce(correction, [row["face_id"] for row in faces], visits)
        return Promotion(unknown["id"], user_id, len(visits), len(faces), made_by)

    async def dismiss(self, unknown_id: UUID, author: Author) -> tuple[UUID, UUID]:
        """Put an unknown aside; doing it again is harmless.

        Returns:
            The unknown (of one that was merged, the one that is left), and the correction.

        Raises:
            NoSuchUnknownError: there is no such unknown.
            UnknownIsUserError: it has become a user.
        """
        unknown = await self._held(unknown_id)
        if unknown["user_id"] is not None:
            raise UnknownIsUserError(unknown["user_id"])
        if unknown["state"] == "dismissed":
            made = await self._standing(unknown["id"], CorrectionKind.DISMISS)
            return unknown["id"], made
        request = CorrectionRequest(
            kind=CorrectionKind.DISMISS, author=author, unknown_id=unknown["id"]
        )
        correction = await add_correction(self._connection, request, {})
        await self._connection.execute(
            sql.SET_STATE,
            unknown["id"],
            "dismissed",
            None,
            False,
        )
        await note_changes(self._connection, [change_of(correction, (), ())])
        return unknown["id"], correction.id

    async def undo(
        self, undone: Correction, author: Author, is_erased: Callable[[UUID], Awaitable[bool]]
    ) -> Correction:
        """Undo it, as far as no later correction stands.

        Raises:
            CorrectionError: the user or the unknown is gone, or is another one by now.
        """
        if undone.kind is CorrectionKind.DISMISS:
            return await self._bring_back(undone, author)
        user_id = undone.user
        rows = await self._fetch(correction_statements.USERS.format(lock="UPDATE"), [user_id])
        named = await self._fetch(correction_statements.NAMED_BEFORE, undone.id)
        left = await hold_users(self._connection, {row["user_id"] for row in named})
        # The vector database has its tombstone first: nothing more may become this user's.
        if not rows or await is_erased(user_id):
            raise CorrectionError("user_not_found", "the user was erased, or is being erased")
        if rows[0]["merged_into"] is not None:
            raise CorrectionError(
                "user_merged", "the user was merged into another one; undo that first"
            )
        unknown = await self._unknown_of(undone)
        correction = await add_correction(
            self._connection, undo_request(undone, author), {}, undone
        )
        execute = self._connection.execute
        state = str(undone.detail.get("state", "open"))
        await execute(sql.SET_STATE, unknown["id"], state, None, True)
        faces = await labels_before(self._connection, undone.id, left)
        await label_faces(self._connection, correction.id, faces)
        photos = await self._fetch(sql.KEEP_PHOTOS, correction.id, user_id, undone.id)
        await execute(sql.TAKE_PHOTOS_OUT, correction.id)
        await execute(sql.FORGET_ENROLMENTS, undone.id)
        await self._touch(user_statements.CAMERAS_OF_CORRECTION, undone.id)
        visits = await self._fetch(
            sql.GIVE_VISITS_BACK, undone.id, user_id, list(left), list(left.values())
        )
        await restore_vetoes(self._connection, undone.id)
        changed = [one.face_id for one in faces] + [row["face_id"] for row in photos]
        await self._announce(correction, changed, visits, undone)
        return correction

    async def _bring_back(self, undone: Correction, author: Author) -> Correction:
        unknown = await self._unknown_of(undone)
        correction = await add_correction(
            self._connection, undo_request(undone, author), {}, undone
        )
        await self._connection.execute(sql.SET_STATE, unknown["id"], "open", None, False)
        await note_changes(self._connection, [change_of(correction, (), (), undone=undone)])
        return correction

    async def _unknown_of(self, undone: Correction) -> "asyncpg.Record":
        """The unknown, which is what the correction has made it."""
        row = await self._connection.fetchrow(sql.HOLD, undone.unknown_id)
        if row is None:
            raise CorrectionError(
                "unknown_not_found", "the unknown is gone: its retention has ended"
            )
        wanted = "promoted" if undone.kind is CorrectionKind.PROMOTE else "dismissed"
        if row["state"] != wanted or row["user_id"] != undone.user_id:
            raise CorrectionError(
                "unknown_is_user", "the unknown was given a name since; undo that first"
            )
        return row

    async def _held(self, unknown_id: UUID) -> "asyncpg.Record":
        """The row that stands for an unknown, held until the transaction ends."""
        for _ in range(2):  # it may be merged between the two statements
            current = await self._connection.fetchval(sql.CURRENT, unknown_id)
            row = await self._connection.fetchrow(sql.HOLD, current)
            if row is not None and row["state"] != "merged":
                return row
        raise NoSuchUnknownError

    async def _standing(self, unknown_id: UUID, kind: CorrectionKind) -> UUID:
        found: UUID | None = await self._connection.fetchval(
            sql.STANDING_CORRECTION, unknown_id, kind.value
        )
        if found is None:
            raise NoSuchUnknownError  # an erasure is deleting both
        return found

    async def _named(
        self, unknown: "asyncpg.Record", name: NewName, author: Author
    ) -> tuple[UUID, bool]:
        """The user of this name, and whether it was made now."""
        known = unknown["user_id"]
        if known is None:
            return await self._make_user(name, author), True
        row = await self._connection.fetchrow(sql.NAME_OF_USER, known)
        if row is None or (row["email"], row["full_name"]) != (name.email, name.full_name):
            raise UnknownIsUserError(known)
        return known, False  # made by a request that failed afterwards

    async def _left_user(self, user_id: UUID) -> UUID:
        """A user, or the one that it was merged into, held until the transaction ends."""
        left = await self._connection.fetchval(sql.LEFT_USER, user_id)
        rows = await self._fetch(correction_statements.USERS.format(lock="KEY SHARE"), [left])
        if not rows:
            raise UserNotFoundError
        row = rows[0]
        return row["id"] if row["merged_into"] is None else await self._left_user(row["id"])

    async def _make_user(self, name: NewName, author: Author) -> UUID:
        try:
            made: UUID = await self._connection.fetchval(sql.ADD_USER, name.email, name.full_name)
        except StoreRejected as error:
            if error.state == _UNIQUE_VIOLATION:
                raise EmailTakenError from error
            raise
        await self._connection.execute(
            correction_statements.AUDIT,
            author.actor,
            "user.create",
            f"user:{made}",
            "{}",
            author.request_id,
        )
        return made

    async def _announce(
        self,
        correction: Correction,
        faces: Sequence[UUID],
        visits: "Sequence[asyncpg.Record]",
        undone: Correction | None = None,
    ) -> None:
        """Note what is to be sent: one change of people, and each visit again."""
        visit_ids = sorted(row["visit_id"] for row in visits)
        messages = []
        for place, row in enumerate(await self._fetch(sql.VISITS, visit_ids)):
            visit = visit_of(row)
            replaced = f"{visit.visit_id}/{visit.revision - 1}"
            announced = structs.replace(visit, supersedes=replaced)
            messages.append(
                message_fields(place, VisitMessage(type=VisitType.UPDATED, visit=announced))
            )
        await self._connection.execute(visit_statements.MESSAGES, _encode(messages).decode())
        changed = tuple(sorted(faces))
        change = change_of(correction, changed, tuple(visit_ids), undone=undone)
        await note_changes(self._connection, [change])

    async def _touch(self, cameras: str, identifier: UUID) -> None:
        """Have workers read these cameras again."""
        names = [row["camera_id"] for row in await self._fetch(cameras, identifier)]
        await self._connection.execute(correction_statements.TOUCH_CAMERAS, names)

    async def _fetch(self, statement: str, *values: object) -> "list[asyncpg.Record]":
        return await self._connection.fetch(statement, *values)
