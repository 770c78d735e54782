"""Visits as they are stored: listed, found, and what was announced since a moment.

A visit that was not announced yet (revision 0) does not exist for readers; one that was merged into
another visit has no faces any more, and is in no listing.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, SQLColumnExpression, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import aliased

from domain.visit_events import Visit, VisitReason, VisitState
from sinks.main.liveness_column import from_fields
from sinks.main.schema import Face
from sinks.main.unknowns.unknown_schema import UnknownMemberRow
from sinks.main.visit_schema import VisitFaceRow, VisitRow

Sessions = async_sessionmaker[AsyncSession]

#: Fields of a visit that are columns of the table with the same names.
_NOT_STORED = {"crop_key", "unknown_id", "supersedes"}
_STORED = [name for name in Visit.__struct_fields__ if name not in _NOT_STORED]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitFilter:
    """Which visits are asked for; what is None does not restrict.

    Attributes:
        camera: of this camera.
        user: of this user.
        unknown_id: of this unknown.
        known: of known, or of unknown people.
        is_open: open, or ended.
        since: started then or later.
        until: started before.
    """

    camera: str | None = None
    user: UUID | None = None
    unknown_id: UUID | None = None
    known: bool | None = None
    is_open: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_visits(
    session: AsyncSession,
    wanted: VisitFilter,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> list[Visit]:
    """Visits, newest first by their start.

    Args:
        session: on the main database.
        wanted: which.
        limit: at most so many.
        after: start and id of the visit after which to begin.
    """
    position = tuple_(VisitRow.started_at, VisitRow.visit_id)
    query = _visits().where(*_conditions(wanted))
    if after is not None:
        query = query.where(position < tuple_(*after))
    query = query.order_by(VisitRow.started_at.desc(), VisitRow.visit_id.desc()).limit(limit)
    return [_visit(row) for row in await session.execute(query)]


async def count_visits(session: AsyncSession, wanted: VisitFilter, most: int) -> int:
    """How many there are; more than ``most`` are not counted."""
    some = select(VisitRow.visit_id).where(*_conditions(wanted)).limit(most).subquery()
    return await session.scalar(select(func.count()).select_from(some)) or 0


async def visit_pages(
    sessions: Sessions, wanted: VisitFilter, page: int, most: int
) -> AsyncIterator[list[Visit]]:
    """All visits of a filter, newest first, in pages; no connection is held between two pages.

    Args:
        sessions: on the main database.
        wanted: which.
        page: size of a page.
        most: at most so many visits.
    """
    after: tuple[datetime, UUID] | None = None
    while most > 0:
        async with sessions() as session:
            visits = await list_visits(session, wanted, min(page, most), after)
        if not visits:
            return
        yield visits
        if len(visits) < page:
            return
        most -= len(visits)
        after = (visits[-1].started_at, visits[-1].visit_id)


async def find_visit(session: AsyncSession, visit_id: UUID) -> Visit | None:
    """The visit with this id, one that was merged into another included."""
    query = _visits().where(VisitRow.visit_id == visit_id, VisitRow.revision > 0)
    row = (await session.execute(query)).first()
    return None if row is None else _visit(row)


async def faces_of_visit(
    session: AsyncSession,
    visit_id: UUID,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> Sequence[Face]:
    """The faces of a visit, newest first.

    Args:
        session: on the main database.
        visit_id: the visit.
        limit: at most so many.
        after: time and id of the face after which to begin.
    """
    position = tuple_(VisitFaceRow.at, VisitFaceRow.face_id)
    query = select(Face).join(VisitFaceRow, VisitFaceRow.face_id == Face.id)
    query = query.where(VisitFaceRow.visit_id == visit_id)
    if after is not None:
        query = query.where(position < tuple_(*after))
    query = query.order_by(VisitFaceRow.at.desc(), VisitFaceRow.face_id.desc()).limit(limit)
    return (await session.scalars(query)).all()


async def open_visits(
    session: AsyncSession, camera: str | None, user: UUID | None, limit: int
) -> tuple[list[Visit], int]:
    """Who is where now, with how many there are in all; the person seen last comes first."""
    conditions = _conditions(VisitFilter(camera=camera, user=user, is_open=True))
    query = _visits(func.count().over().label("total")).where(*conditions)
    query = query.order_by(VisitRow.last_seen_at.desc(), VisitRow.visit_id).limit(limit)
    rows = (await session.execute(query)).all()
    return [_visit(row) for row in rows], rows[0].total if rows else 0


async def announced_since(
    session: AsyncSession, moment: datetime, camera: str | None, user: UUID | None, limit: int
) -> list[tuple[Visit, datetime]]:
    """Visits that were announced then or later, in that order, as they are now.

    Merged ones are among them, for a listener that has them as open.

    Args:
        session: on the main database.
        moment: by the clock of the database.
        camera: only of this camera.
        user: only of this user.
        limit: at most so many, the latest.

    Returns:
        Each visit with the time at which its announcement was stored.
    """
    conditions = [VisitRow.revision > 0, VisitRow.changed_at >= moment]
    conditions += _conditions_of(VisitFilter(camera=camera, user=user))
    query = _visits(VisitRow.changed_at).where(*conditions)
    query = query.order_by(VisitRow.changed_at.desc(), VisitRow.visit_id).limit(limit)
    rows = (await session.execute(query)).all()
    return [(_visit(row), row.changed_at) for row in reversed(rows)]


def _visits(*more: SQLColumnExpression[Any]) -> Select[Any]:
    """Rows with the crop of the best face, the unknown, and more columns.

    Whose visit it is, if it has no user, is what the unknowns agent has stored; the visits agent
    knows nothing of it.
    """
    best, shown = aliased(Face), aliased(Face)
    crop_key = func.coalesce(best.crop_key, shown.crop_key).label("crop_key")
    unknown_id = case((VisitRow.user_id.is_(None), UnknownMemberRow.unknown_id)).label("unknown_id")
    return (
        select(*(getattr(VisitRow, name) for name in _STORED), crop_key, unknown_id, *more)
        .outerjoin(UnknownMemberRow, UnknownMemberRow.visit_id == VisitRow.visit_id)
        .outerjoin(best, best.id == VisitRow.best_face_id)
        .outerjoin(shown, shown.id == best.best_face_id)
    )


def _visit(row: Row[Any]) -> Visit:
    fields = {name: getattr(row, name) for name in (*_STORED, "crop_key", "unknown_id")}
    read = {"state": VisitState(row.state), "liveness": from_fields(row.liveness)}
    return Visit(**fields | read)


def _conditions(wanted: VisitFilter) -> list[ColumnElement[bool]]:
    return [
        VisitRow.revision > 0,
        VisitRow.reason.is_distinct_from(VisitReason.MERGED.value),
        *_conditions_of(wanted),
    ]


def _conditions_of(wanted: VisitFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.camera is not None:
        found.append(VisitRow.camera_id == wanted.camera)
    if wanted.user is not None:
        found.append(VisitRow.user_id == wanted.user)
    if wanted.unknown_id is not None:
        of_unknown = select(UnknownMemberRow.visit_id).where(
            UnknownMemberRow.unknown_id == wanted.unknown_id
        )
        found += [VisitRow.visit_id.in_(of_unknown), VisitRow.user_id.is_(None)]
    if wanted.known is not None:
        is_known = VisitRow.user_id.is_not(None)
        found.append(is_known if wanted.known else VisitRow.user_id.is_(None))
    if wanted.is_open is not None:
        ended_at = VisitRow.ended_at  # its index has the open ones
        found.append(ended_at.is_(None) if wanted.is_open else ended_at.is_not(None))
    if wanted.since is not None:
        found.append(VisitRow.started_at >= wanted.since)
    if wanted.until is not None:
        found.append(VisitRow.started_at < wanted.until)
    return found
