"""Giving an unknown a name, and putting one aside.

A promotion is one transaction on the main database: the user, the unknown, its visits and faces,
the message and the entry in the audit trail. What follows in the other store may be repeated, and
maintenance does it where a crash prevented it (`apply_promotion`).
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from domain.events import MatchKind
from domain.names.email_addresses import normal_address
from domain.names.person_names import tidy_name
from domain.people.people_changes import PeopleChange
from domain.people.unknown_changes import unknown_dismissed, unknown_promoted
from domain.user_errors import NoSuchUnknownError, UnknownIsUserError, UserNotFoundError
from services.audit import record
from services.unknowns.stored_unknowns import best_faces
from services.users import make_user
from sinks.main.people.correction_schema import VetoRow
from sinks.main.people.people_schema import PeopleMessageRow
from sinks.main.schema import Face, User
from sinks.main.unknowns.unknown_schema import UnknownMemberRow, UnknownRow
from sinks.main.visit_schema import VisitFaceRow, VisitRow
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected
from sinks.vector.unknowns.unknown_gallery import UnknownGallery

Sessions = async_sessionmaker[AsyncSession]

#: Faces that a promoted unknown is enrolled with, at most.
MOST_ENROLLED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewName:
    """Who an unknown is: an existing user, or one that is made.

    Attributes:
        user_id: the user; None makes one.
        email: of the user that is made; None without one.
        full_name: of the user that is made; None if it is not known.
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
    """

    unknown_id: UUID
    user_id: UUID
    visits: int
    faces: int


async def promote(
    sessions: Sessions, gallery: UnknownGallery, actor: str, unknown_id: UUID, name: NewName
) -> Promotion:
    """Give an unknown a name; its visits and their faces are the user's from now on.

    Doing it again with the same user is harmless. Photos are enrolled by the caller.

    Args:
        sessions: on the main database.
        gallery: where the template of the unknown is.
        actor: for the audit trail.
        unknown_id: the unknown; one that was merged stands for the one that is left.
        name: who it is.

    Raises:
        NoSuchUnknownError: there is no such unknown.
        UserNotFoundError: there is no such user.
        UnknownIsUserError: it has become another user already.
        EmailTakenError: there is a user with this address.
        StoreUnavailable: a store is unavailable; repeat it.
    """
    async with sessions.begin() as session:
        unknown = await _locked(session, unknown_id)
        user_id = await _user_of(session, actor, unknown, name)
        if unknown.user_id is not None and unknown.user_id != user_id:
            raise UnknownIsUserError(unknown.user_id)
        visits, faces = await _relabel(session, unknown.id, user_id)
        if unknown.state != "promoted":
            unknown.state, unknown.user_id = "promoted", user_id
            unknown.templates_due = True
            record(
                session,
                actor,
                "unknown.promote",
                f"unknown:{unknown.id}",
                user=str(user_id),
                visits=visits,
                faces=faces,
            )
            await _note(session, unknown_promoted(unknown.id, user_id))
        done = Promotion(unknown.id, user_id, visits, faces)
    await apply_promotion(sessions, gallery, done.unknown_id, user_id)
    return done


async def apply_promotion(
    sessions: Sessions, gallery: UnknownGallery, unknown_id: UUID, user_id: UUID
) -> None:
    """What follows from a promotion in the vector database; harmless if repeated.

    Raises:
        StoreUnavailable: a store is unavailable.
    """
    await gallery.remove([unknown_id])
    async with sessions() as session:
        faces = (await session.scalars(_faces_of(unknown_id))).all()
    await gallery.name_sightings(user_id, faces)
    async with sessions.begin() as session:
        await session.execute(
            update(UnknownRow).where(UnknownRow.id == unknown_id).values(templates_due=False)
        )


async def best_pictures(session: AsyncSession, crops: Crops, unknown_id: UUID) -> list[bytes]:
    """The pictures that a promoted unknown is enrolled with, each of another visit.

    A face that is another user's, as a person has said, is none of them.

    Args:
        session: on the main database.
        crops: where they are.
        unknown_id: the unknown.

    Raises:
        StoreUnavailable: the object store is unavailable.
    """
    unknown = await session.get(UnknownRow, unknown_id)
    pictures = []
    for face in await best_faces(session, unknown_id, MOST_ENROLLED):
        is_theirs = unknown is not None and face.user_id == unknown.user_id
        if face.shown_crop_key is None or not is_theirs:
            continue
        try:
            pictures.append(await crops.get(face.shown_crop_key))
        except StoreRejected:
            continue  # it was deleted in the meantime
    return pictures


async def dismiss(sessions: Sessions, actor: str, unknown_id: UUID) -> UUID:
    """Put an unknown aside: it is not listed, and its next visits do not bring it back.

    Returns:
        The unknown: of one that was merged, the one that is left.

    Raises:
        NoSuchUnknownError: there is no such unknown.
        UnknownIsUserError: it has become a user.
    """
    async with sessions.begin() as session:
        unknown = await _locked(session, unknown_id)
        if unknown.user_id is not None:
            raise UnknownIsUserError(unknown.user_id)
        if unknown.state != "dismissed":
            unknown.state = "dismissed"
            record(session, actor, "unknown.dismiss", f"unknown:{unknown.id}")
            await _note(session, unknown_dismissed(unknown.id))
        return unknown.id


async def _locked(session: AsyncSession, unknown_id: UUID) -> UnknownRow:
    """The row that stands for an unknown; other changes wait for the end of the transaction."""
    for _ in range(2):
        unknown = await session.get(UnknownRow, unknown_id, with_for_update=True)
        if unknown is None:
            raise NoSuchUnknownError
        if unknown.merged_into is None:
            return unknown
        unknown_id = unknown.merged_into
    raise NoSuchUnknownError


async def _user_of(session: AsyncSession, actor: str, unknown: UnknownRow, name: NewName) -> UUID:
    if name.user_id is None:
        if unknown.user_id is not None:
            if await _has_name(session, unknown.user_id, name):
                return unknown.user_id  # made by a request that failed afterwards
            raise UnknownIsUserError(unknown.user_id)
        made = await make_user(session, actor, name.email, name.full_name)
        return made.id
    held = {"key_share": True, "read": True}
    user = await session.get(User, name.user_id, with_for_update=held)
    while user is not None and user.merged_into is not None:
        user = await session.get(User, user.merged_into, with_for_update=held)
    if user is None:
        raise UserNotFoundError
    return user.id


async def _has_name(session: AsyncSession, user_id: UUID, name: NewName) -> bool:
    """Whether a user is the one that a promotion to this new name has made."""
    user = await session.get(User, user_id)
    if user is None:
        return False
    email = None if name.email is None else normal_address(name.email)
    full_name = None if name.full_name is None else tidy_name(name.full_name)
    return (user.email, user.full_name) == (email, full_name)


async def _relabel(session: AsyncSession, unknown_id: UUID, user_id: UUID) -> tuple[int, int]:
    """Make an unknown's visits and their faces a user's; those of other users stay theirs.

    This is what a person has said last: an undo of an earlier correction does not change it, and
    no veto says that a face is not the user's.
    """
    named = _faces_of(unknown_id)
    await session.execute(
        delete(VetoRow).where(VetoRow.user_id == user_id, VetoRow.face_id.in_(named))
    )
    faces = await session.scalars(
        update(Face)
        .where(Face.id.in_(named), Face.user_id.is_(None))
        .values(
            user_id=user_id,
            decision="matched",
            similarity=None,
            runner_up_similarity=None,
            candidate_id=None,
            correction_id=None,
        )
        .returning(Face.id)
        .execution_options(synchronize_session=False)
    )
    of_unknown = select(UnknownMemberRow.visit_id).where(UnknownMemberRow.unknown_id == unknown_id)
    visits = await session.scalars(
        update(VisitRow)
        .where(VisitRow.visit_id.in_(of_unknown), VisitRow.user_id.is_(None))
        .values(user_id=user_id, correction_id=None)
        .returning(VisitRow.visit_id)
        .execution_options(synchronize_session=False)
    )
    return len(visits.all()), len(faces.all())


def _faces_of(unknown_id: UUID) -> Select[Any]:
    """The faces of the visits of an unknown that cameras have seen."""
    return (
        select(VisitFaceRow.face_id)
        .join(UnknownMemberRow, UnknownMemberRow.visit_id == VisitFaceRow.visit_id)
        .join(Face, Face.id == VisitFaceRow.face_id)
        .where(UnknownMemberRow.unknown_id == unknown_id, Face.kind == MatchKind.FRAME)
    )


async def _note(session: AsyncSession, change: PeopleChange) -> None:
    """Announce a change, unless the same one waits to be sent already."""
    if await session.get(PeopleMessageRow, change.change_id) is None:
        session.add(PeopleMessageRow.of(change))
