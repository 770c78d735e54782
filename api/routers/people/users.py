"""People: made, found, changed, erased."""

import logging
from typing import Annotated, Any
from unicodedata import normalize
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.authorization import Administrator, Enroller, Reader
from api.http.dependencies import MainDb, Services, ServicesDep
from api.http.entity_tags import TAGGED, IfMatch, entity_tag, require_match
from api.http.pagination import PageDep
from api.http.problems import ApiProblem
from api.http.request_context import address
from api.schemas.common import PLAIN_TEXT
from api.schemas.faces import FaceListResponse, FaceResponse
from api.schemas.users import (
    UserCreateRequest,
    UserDetailResponse,
    UserListResponse,
    UserResponse,
    UserUpdateRequest,
)
from config.observability.request_id import request_id
from domain.events import MatchKind
from domain.personal_data import Author
from domain.users.external_ids import MAX_EXTERNAL_ID_CHARACTERS
from domain.users.user_metadata import merged_metadata
from services.audit import record
from services.erasure import erase
from services.users import make_user, write
from sinks.main.schema import Face, User
from sinks.store_errors import StoreUnavailable
from sinks.vector.deactivation import align_suspension

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/users", tags=["users"])


@router.post("", status_code=201, responses={201: TAGGED, 400: {}, 409: {}, 413: {}})
async def create_user(
    body: UserCreateRequest, response: Response, caller: Enroller, db: MainDb
) -> UserResponse:
    """Make a user, to be enrolled with photos next.

    One of `email`, `full_name` and `external_id` is needed.
    """
    async with db.begin():
        user = await make_user(
            db,
            caller.actor,
            body.email,
            body.full_name,
            external_id=body.external_id,
            metadata=body.metadata,
        )
    made = UserResponse.of(user)
    response.headers["Location"] = address(f"/api/v1/users/{user.id}")
    response.headers["ETag"] = _tag(made)
    return made


@router.get("")
async def list_users(
    _caller: Reader,
    db: MainDb,
    page: PageDep,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            pattern=PLAIN_TEXT,
            description="words, in any order; each is a part of the name, the e-mail or the "
            "external id",
        ),
    ] = None,
    external_id: Annotated[
        str | None,
        Query(
            max_length=MAX_EXTERNAL_ID_CHARACTERS,
            pattern=PLAIN_TEXT,
            description="only the user with this external id",
        ),
    ] = None,
    is_active: Annotated[bool | None, Query()] = None,
) -> UserListResponse:
    """Users, newest first."""
    query = select(User).where(*page.older(User.created_at, User.id))
    if q:
        columns = (User.full_name, User.email, User.external_id)
        for word in normalize("NFC", q).split():  # as names and addresses are stored
            query = query.where(or_(*(one.icontains(word, autoescape=True) for one in columns)))
    if external_id is not None:
        query = query.where(User.external_id == normalize("NFC", external_id).strip())
    if is_active is not None:
        query = query.where(User.is_active == is_active)
    query = query.order_by(User.created_at.desc(), User.id.desc()).limit(page.limit + 1)
    users = (await db.scalars(query)).all()
    return UserListResponse(
        items=[UserResponse.of(user) for user in users[: page.limit]],
        next_cursor=page.next_cursor([(user.created_at, user.id) for user in users]),
    )


@router.get("/{user_id}", responses={200: TAGGED, 404: {}})
async def read_user(
    user_id: UUID, response: Response, _caller: Reader, db: MainDb
) -> UserDetailResponse:
    """A user, how many photos are enrolled, and where a camera last saw the person."""
    user = await _existing(db, user_id)
    photos = await db.scalar(
        select(func.count(Face.event_uuid.distinct())).where(
            Face.user_id == user_id, Face.kind == MatchKind.ENROLLED
        )
    )
    last = (
        await db.execute(
            select(Face.at.label("at"), Face.camera_id)
            .where(Face.user_id == user_id, Face.kind == MatchKind.FRAME)
            .order_by(Face.at.desc(), Face.id.desc())
            .limit(1)
        )
    ).first()
    response.headers["ETag"] = _tag(UserResponse.of(user))
    return UserDetailResponse.with_detail(
        user,
        photos or 0,
        last.at if last is not None else None,
        last.camera_id if last is not None else None,
    )


@router.get("/{user_id}/faces", responses={404: {}})
async def list_enrolled_faces(
    user_id: UUID, _caller: Reader, db: MainDb, page: PageDep
) -> FaceListResponse:
    """The enrolled photos of a user, newest first."""
    await _existing(db, user_id)
    faces = (
        await db.scalars(
            select(Face)
            .where(
                Face.user_id == user_id,
                Face.kind == MatchKind.ENROLLED,
                *page.older(Face.at, Face.id),
            )
            .order_by(Face.at.desc(), Face.id.desc())
            .limit(page.limit + 1)
        )
    ).all()
    return FaceListResponse(
        items=[FaceResponse.of(face) for face in faces[: page.limit]],
        next_cursor=page.next_cursor([(face.at, face.id) for face in faces]),
    )


@router.patch("/{user_id}", responses={200: TAGGED, 400: {}, 404: {}, 409: {}, 412: {}, 413: {}})
async def update_user(  # noqa: PLR0913, PLR0917 - a request and its parameters
    user_id: UUID,
    body: UserUpdateRequest,
    response: Response,
    caller: Enroller,
    db: MainDb,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> UserResponse:
    """Change a user; null takes an address, a name or an external id away, but not the last one.

    With `is_active: false` the person leaves every gallery within two seconds and is an unknown to
    all cameras; the photos are kept, and count again with `is_active: true`.
    """
    changes = body.model_dump(exclude_unset=True)
    try:
        async with db.begin():
            user = await _locked(db, user_id)
            require_match(_tag(UserResponse.of(user)), if_match)
            changed = await _change(db, services, user, changes, caller.actor)
    except (DBAPIError, StoreUnavailable, OSError):
        if changes.get("is_active") is False:
            await _undo_suspension(services, user_id)
        raise
    if changes.get("is_active") is True:
        # After the commit, for the same reason; unless another client deactivated in the meantime.
        await _align(services, user_id)
    services.people.forget(user_id)
    response.headers["ETag"] = _tag(changed)
    return changed


def _tag(user: UserResponse) -> str:
    """Names what a change can change, and no other client's count of photos or last sighting."""
    return entity_tag(user.model_dump_json(include={*UserResponse.model_fields}))


async def _change(
    db: AsyncSession, services: Services, user: User, changes: dict[str, Any], actor: str
) -> UserResponse:
    """Change a locked user in its transaction, and remove the user from the galleries if needed.

    This happens before the commit: if the commit fails, no deactivated user is recognised.
    """
    user_id = user.id
    if user.merged_into is not None and changes.get("is_active"):
        raise ApiProblem(409, "user_merged", "the user was merged into another one; undo that")
    for name, value in changes.items():
        if name == "metadata":
            user.user_metadata = merged_metadata(user.user_metadata, value)
        else:
            setattr(user, name, value)
    await write(db, user)
    await db.refresh(user)
    changed = UserResponse.of(user)
    # Nothing personal, because it cannot be erased; but a deactivation must be visible.
    said = {name: value for name, value in changes.items() if name == "is_active"}
    record(db, actor, "user.update", f"user:{user_id}", fields=sorted(changes), **said)
    if changes.get("is_active") is False:
        await services.stores.vectors.suspend_user(user_id)
    return changed


async def _undo_suspension(services: Services, user_id: UUID) -> None:
    """The change was not committed, as far as is known: let the galleries follow what was.

    While a store is unavailable nothing can be done here; the reconciler finds it.
    """
    try:
        await _align(services, user_id)
    except (DBAPIError, StoreUnavailable, OSError, ApiProblem) as error:
        logger.warning("the suspension of user %s is left to the reconciler: %s", user_id, error)


async def _align(services: Services, user_id: UUID) -> None:
    """Suspend or resume a user, as the row says, while no other client can change it."""
    async with services.databases.main.begin() as db:
        user = await _locked(db, user_id)
        await align_suspension(services.stores.vectors, user_id, is_active=user.is_active)


@router.delete("/{user_id}", status_code=204, responses={404: {}})
async def delete_user(
    user_id: UUID, caller: Administrator, db: MainDb, services: ServicesDep
) -> None:
    """Erase a user: templates, crops, uploaded photos, cache and row; sightings become unknowns.

    Should a store be away, the answer is 503 and the user is still there: repeat the request.
    """
    await _existing(db, user_id)
    await db.rollback()
    await erase(services.stores, user_id, Author(caller.actor, request_id.get() or None))
    services.forget_user(user_id)


async def _existing(db: AsyncSession, user_id: UUID) -> User:
    user = await db.get(User, user_id)
    if user is None:
        raise ApiProblem(404, "user_not_found", "there is no user with this id")
    return user


async def _locked(db: AsyncSession, user_id: UUID) -> User:
    """The current row; other changes wait for the end of the transaction."""
    user = await db.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise ApiProblem(404, "user_not_found", "there is no user with this id")
    return user
