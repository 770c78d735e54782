"""Unknowns as they are stored: listed, found, with their visits and their best faces.

One is shown from its second visit on. One that was merged leads to the one that is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, literal, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from sinks.main.schema import Face
from sinks.main.unknowns.unknown_schema import UnknownMemberRow, UnknownRow
from sinks.main.unknowns.unknown_store import SHOWN_FROM
from sinks.main.visit_schema import VisitRow

#: Cameras of an unknown that a listing names.
_MOST_CAMERAS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownFilter:
    """Which unknowns are asked for; what is None does not restrict.

    Attributes:
        state: ``open``, ``dismissed`` or ``promoted``.
        min_visits: with so many visits or more.
        camera: with a visit at this camera.
        since: seen then or later.
    """

    state: str = "open"
    min_visits: int = SHOWN_FROM
    camera: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnknown:
    """An unknown as a listing shows it.

    Attributes:
        id: of the unknown.
        state: ``open``, ``dismissed``, ``promoted`` or ``merged``.
        merged_into: the unknown that is left; None unless it was merged.
        user_id: the user that the unknown became; None unless it was promoted.
        model: id of the embedder that it was grouped by.
        visits: number of its visits.
        first_seen_at: start of the first.
        last_seen_at: end of the last.
        cameras: where it was seen, at most 20.
        best_face_id: the face of best quality that shows a visit; None where none is left.
        crop_key: S3 key of that face's crop; None where it is gone.
    """

    id: UUID
    state: str
    merged_into: UUID | None
    user_id: UUID | None
    model: str
    visits: int
    first_seen_at: datetime
    last_seen_at: datetime
    cameras: Sequence[str]
    best_face_id: UUID | None
    crop_key: str | None


async def list_unknowns(
    session: AsyncSession,
    wanted: UnknownFilter,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> list[StoredUnknown]:
    """Unknowns, the one seen last first.

    Args:
        session: on the main database.
        wanted: which.
        limit: at most so many.
        after: last time and id of the unknown after which to begin.
    """
    query = _unknowns().where(*_conditions(wanted))
    if after is not None:
        query = query.where(tuple_(UnknownRow.last_seen_at, UnknownRow.id) < tuple_(*after))
    query = query.order_by(UnknownRow.last_seen_at.desc(), UnknownRow.id.desc()).limit(limit)
    return [_unknown(row) for row in await session.execute(query)]


async def find_unknown(session: AsyncSession, unknown_id: UUID) -> StoredUnknown | None:
    """The unknown with this id, one that was merged included."""
    row = (await session.execute(_unknowns().where(UnknownRow.id == unknown_id))).first()
    return None if row is None else _unknown(row)


async def best_faces(session: AsyncSession, unknown_id: UUID, limit: int) -> Sequence[Face]:
    """The faces that show the visits of an unknown, those of best quality first.

    Args:
        session: on the main database.
        unknown_id: the unknown.
        limit: at most so many, one for each visit.
    """
    query = (
        select(Face)
        .join(VisitRow, VisitRow.best_face_id == Face.id)
        .join(UnknownMemberRow, UnknownMemberRow.visit_id == VisitRow.visit_id)
        .where(UnknownMemberRow.unknown_id == unknown_id)
        .order_by(Face.quality.desc(), Face.id)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


def _unknowns() -> Select[Any]:
    """Rows with the cameras and the best face of each."""
    best, shown = aliased(Face), aliased(Face)
    face = (
        select(best.id.label("face_id"), func.coalesce(best.crop_key, shown.crop_key).label("key"))
        .select_from(UnknownMemberRow)
        .join(VisitRow, VisitRow.visit_id == UnknownMemberRow.visit_id)
        .join(best, best.id == VisitRow.best_face_id)
        .outerjoin(shown, shown.id == best.best_face_id)
        .where(UnknownMemberRow.unknown_id == UnknownRow.id)
        .order_by(best.quality.desc(), best.id)
        .limit(1)
        .lateral("face")
    )
    cameras = (
        select(VisitRow.camera_id)
        .join(UnknownMemberRow, UnknownMemberRow.visit_id == VisitRow.visit_id)
        .where(UnknownMemberRow.unknown_id == UnknownRow.id)
        .distinct()
        .order_by(VisitRow.camera_id)
        .limit(_MOST_CAMERAS)
        .correlate(UnknownRow)
    )
    return (
        select(
            UnknownRow.id,
            UnknownRow.state,
            UnknownRow.merged_into,
            UnknownRow.user_id,
            UnknownRow.model,
            UnknownRow.visits,
            UnknownRow.first_seen_at,
            UnknownRow.last_seen_at,
            func.array(cameras.scalar_subquery()).label("cameras"),
            face.c.face_id.label("best_face_id"),
            face.c.key.label("crop_key"),
        )
        .select_from(UnknownRow)
        .outerjoin(face, true())
    )


def _unknown(row: Row[Any]) -> StoredUnknown:
    return StoredUnknown(**dict(row._mapping))  # noqa: SLF001 - the columns by name


def _conditions(wanted: UnknownFilter) -> list[ColumnElement[bool]]:
    found = [UnknownRow.state == wanted.state, UnknownRow.visits >= wanted.min_visits]
    if wanted.since is not None:
        found.append(UnknownRow.last_seen_at >= wanted.since)
    if wanted.camera is not None:
        seen = (
            select(literal(1))
            .select_from(UnknownMemberRow)
            .join(VisitRow, VisitRow.visit_id == UnknownMemberRow.visit_id)
            .where(
                UnknownMemberRow.unknown_id == UnknownRow.id, VisitRow.camera_id == wanted.camera
            )
        )
        found.append(seen.exists())
    return found
