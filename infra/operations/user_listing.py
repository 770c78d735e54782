"""Users for the command line: listed, shown, and rid of a photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.events import MatchKind
from domain.user_errors import NoSuchUserError
from services.face_erasure import Sessions, erase_face
from sinks.main.schema import Face, User
from sinks.stores import Stores


@dataclass(frozen=True, slots=True)
class UserLine:
    """A user in a listing.

    Attributes:
        user: the row.
        photos: how many photos are enrolled, each counted once whatever models looked at it.
    """

    user: User
    photos: int


async def list_users(
    session: AsyncSession, text: str | None, limit: int
) -> tuple[list[UserLine], int]:
    """Users by address, those without one last, with how many there are in all.

    Args:
        session: on the main database.
        text: part of the name, the address or the external id; None for all.
        limit: at most so many.
    """
    wanted = select(User)
    if text:
        columns = (User.full_name, User.email, User.external_id)
        wanted = wanted.where(or_(*(one.icontains(text, autoescape=True) for one in columns)))
    total = await session.scalar(select(func.count()).select_from(wanted.subquery()))
    users = list(await session.scalars(wanted.order_by(User.email, User.id).limit(limit)))
    counts = await _photos_of(session, [user.id for user in users])
    return [UserLine(user, counts.get(user.id, 0)) for user in users], total or 0


async def photos_of(session: AsyncSession, user_id: UUID) -> list[Face]:
    """The enrolled faces of a user, by photo: one for each model that has looked at it."""
    faces = await session.scalars(
        select(Face)
        .where(Face.user_id == user_id, Face.kind == MatchKind.ENROLLED)
        .order_by(Face.captured_at, Face.event_uuid, Face.model)
    )
    return list(faces)


async def remove_photo(
    stores: Stores, sessions: Sessions, photo: UUID, actor: str
) -> Sequence[Face]:
    """Take an enrolled photo out, under every model; the templates are made from the others.

    Args:
        stores: all of them.
        sessions: on the main database.
        photo: id of the photo's upload event, or of a face in it.
        actor: for the audit trail.

    Returns:
        The faces that went.

    Raises:
        NoSuchUserError: there is no such photo.
        StoreUnavailable: a store is unavailable; repeat the call.
    """
    async with sessions() as session:
        one = await session.get(Face, photo)
        event = one.event_uuid if one is not None else photo
        found = await session.scalars(
            select(Face).where(Face.event_uuid == event, Face.kind == MatchKind.ENROLLED)
        )
        faces = list(found)
        session.expunge_all()
    if not faces:
        raise NoSuchUserError(f"there is no enrolled photo {photo}")
    for face in faces:
        await erase_face(stores, sessions, face, actor)
    return faces


async def _photos_of(session: AsyncSession, user_ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = await session.execute(
        select(Face.user_id, func.count(Face.event_uuid.distinct()))
        .where(Face.user_id.in_(user_ids), Face.kind == MatchKind.ENROLLED)
        .group_by(Face.user_id)
    )
    return {user_id: count for user_id, count in rows if user_id is not None}
