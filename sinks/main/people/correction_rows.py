"""The rows of corrections: written with a line of the audit trail, and read."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

import msgspec

from domain.decisions.corrections import CorrectionError, CorrectionKind, who_is_left
from domain.people.stored_corrections import Correction, CorrectionRequest
from domain.personal_data import Author
from sinks.main.people import correction_statements as sql

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def require_users(
    connection: "Session", user_ids: Collection[UUID], lock: Literal["KEY SHARE", "UPDATE"]
) -> "dict[UUID, asyncpg.Record]":
    """The rows of users, who are there and held until the transaction ends.

    Raises:
        CorrectionError: ``user_not_found``, or ``user_merged``: into another one.
    """
    rows = await connection.fetch(sql.USERS.format(lock=lock), list(user_ids))
    found = {row["id"]: row for row in rows}
    if set(user_ids) - found.keys():
        raise CorrectionError("user_not_found", "there is no user with this id")
    if any(row["merged_into"] is not None for row in rows):
        raise CorrectionError("user_merged", "this user was merged into another one")
    return found


async def hold_users(connection: "Session", user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Hold users until the transaction ends, and those that they were merged into.

    Returns:
        By user who was merged the one who is left.
    """
    into: dict[UUID, UUID | None] = {}
    more = set(user_ids)
    while more:
        rows = await connection.fetch(sql.USERS.format(lock="KEY SHARE"), list(more))
        into |= {row["id"]: row["merged_into"] for row in rows}
        more = {other for other in into.values() if other is not None} - into.keys()
    return who_is_left(into)


async def add_correction(
    connection: "Session",
    request: CorrectionRequest,
    detail: dict[str, Any],
    undone: Correction | None = None,
) -> Correction:
    """Write a correction, what is left to do for it, and a line of the audit trail."""
    undoes = None if undone is None else undone.id
    made_at = await connection.fetchval(
        sql.ADD,
        request.id,
        request.kind.value,
        request.author.actor,
        request.user_id,
        request.other_user_id,
        request.face_id,
        request.visit_id,
        undoes,
        request.unknown_id,
        _encode(detail).decode(),
    )
    await connection.execute(sql.WORK, request.id)
    noted = {"correction": str(request.id), **detail}
    if request.unknown_id is not None and request.user_id is not None:
        noted["user"] = str(request.user_id)
    if undone is not None:
        noted |= {"undoes": str(undone.id), "kind": undone.kind.value}
    await connection.execute(
        sql.AUDIT,
        request.author.actor,
        _action(request.kind),
        _target(request),
        _encode(noted).decode(),
        request.author.request_id,
    )
    return Correction(
        id=request.id,
        made_at=made_at,
        kind=request.kind,
        actor=request.author.actor,
        user_id=request.user_id,
        other_user_id=request.other_user_id,
        face_id=request.face_id,
        visit_id=request.visit_id,
        unknown_id=request.unknown_id,
        undoes=undoes,
        detail=detail,
    )


def undo_request(undone: Correction, author: Author) -> CorrectionRequest:
    """The undo of a correction, as a correction of its own."""
    return CorrectionRequest(
        id=uuid4(),
        kind=CorrectionKind.UNDO,
        author=author,
        user_id=undone.user_id,
        other_user_id=undone.other_user_id,
        face_id=undone.face_id,
        visit_id=undone.visit_id,
        unknown_id=undone.unknown_id,
    )


def correction_of(row: "asyncpg.Record") -> Correction:
    """A row as its type."""
    fields = dict(row)
    kind, detail = CorrectionKind(fields.pop("kind")), _decode(fields.pop("detail"))
    return Correction(**fields, kind=kind, detail=detail)


def _action(kind: CorrectionKind) -> str:
    """What the audit trail calls it; what is said of unknowns has its own name there."""
    of_unknowns = kind in {CorrectionKind.PROMOTE, CorrectionKind.DISMISS}
    return f"{'unknown' if of_unknowns else 'correction'}.{kind.value}"


def _target(request: CorrectionRequest) -> str:
    if request.unknown_id is not None:
        return f"unknown:{request.unknown_id}"
    return f"user:{request.user_id}"
