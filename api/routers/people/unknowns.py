"""Unknowns: people who are seen again and not enrolled; given a name, or put aside."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from api.auth.authorization import Enroller, Reader
from api.http.dependencies import MainDb, ServicesDep
from api.http.pagination import PageDep
from api.http.prefer_header import Prefer, Preferences
from api.http.problems import ApiProblem
from api.http.request_context import address
from api.listings.query_filters import CameraFilter, TimeFilter, in_utc
from api.schemas.common import MAX_PAGE
from api.schemas.matches import MatchResponse
from api.schemas.unknowns import (
    UnknownDetailResponse,
    UnknownDismissResponse,
    UnknownJoinRequest,
    UnknownListResponse,
    UnknownPartRequest,
    UnknownPromoteRequest,
    UnknownPromoteResponse,
    UnknownProposal,
    UnknownProposalsResponse,
    UnknownResponse,
)
from api.uploads.promoted_faces import enrol_best_faces
from config.observability.request_id import request_id
from domain.personal_data import Author
from domain.user_errors import (
    CannotRegroupError,
    NoSuchUnknownError,
    UnknownIsUserError,
    UserNotFoundError,
)
from services.api_keys import Caller
from services.unknowns.stored_unknowns import (
    StoredUnknown,
    UnknownFilter,
    best_faces,
    find_unknown,
    list_unknowns,
)
from services.unknowns.unknown_grouping import join, part
from sinks.main.unknowns.unknown_corrections import NewName

router = APIRouter(prefix="/api/v1/unknowns", tags=["unknowns"])

#: Faces of an unknown that are shown, one of each visit.
_MOST_FACES = 20

_READ: dict[int | str, dict[str, Any]] = {
    308: {"description": "It was merged into this one"},
    404: {},
}


@router.get("", name="list_unknowns")
async def list_stored_unknowns(  # noqa: PLR0913, PLR0917 - filters, given by name
    _caller: Reader,
    db: MainDb,
    page: PageDep,
    camera_id: CameraFilter = None,
    since: Annotated[TimeFilter, Query(description="seen then or later")] = None,
    min_visits: Annotated[int, Query(ge=1, le=1000, description="with so many visits")] = 2,
    state: Annotated[
        Literal["open", "dismissed", "promoted"], Query(description="which are listed")
    ] = "open",
) -> UnknownListResponse:
    """Unknowns by `last_seen_at`, the one seen last first.

    One is listed from its second visit on; `min_visits=1` lists all.
    """
    wanted = UnknownFilter(
        state=state,
        min_visits=min_visits,
        camera=camera_id,
        since=in_utc(since) if since else None,
    )
    after = (page.after.at, page.after.id) if page.after else None
    unknowns = await list_unknowns(db, wanted, page.limit + 1, after)
    return UnknownListResponse(
        items=[UnknownResponse.of(one) for one in unknowns[: page.limit]],
        next_cursor=page.next_cursor([(one.last_seen_at, one.id) for one in unknowns]),
    )


@router.get("/proposals")
async def list_proposals(_caller: Reader, services: ServicesDep) -> UnknownProposalsResponse:
    """What the consolidation asks: two unknowns that may be one person, one that may be two.

    `join` and `part` answer. At most 200, the most similar first.
    """
    proposals = await services.unknowns.proposals(MAX_PAGE)
    return UnknownProposalsResponse(items=[UnknownProposal.of(one) for one in proposals])


@router.get("/{unknown_id}", response_model=UnknownDetailResponse, responses=_READ)
async def read_unknown(
    unknown_id: UUID, _caller: Reader, db: MainDb, services: ServicesDep
) -> UnknownDetailResponse | Response:
    """An unknown with its best faces; `GET /api/v1/visits?unknown_id=` has its visits.

    The address of one that was merged leads to the one that is left.
    """
    unknown = await find_unknown(db, unknown_id)
    if unknown is None:
        raise _not_found()
    if unknown.merged_into is not None:
        return RedirectResponse(address(f"/api/v1/unknowns/{unknown.merged_into}"), 308)
    faces = await best_faces(db, unknown_id, _MOST_FACES)
    users = await services.people.get({face.user_id for face in faces if face.user_id})
    return UnknownDetailResponse.with_faces(
        unknown,
        [
            MatchResponse.of(face, users.get(face.user_id) if face.user_id else None)
            for face in faces
        ],
    )


@router.post("/{unknown_id}/promote", responses={400: {}, 404: {}, 409: {}, 413: {}})
async def promote_unknown(  # noqa: PLR0913, PLR0917 - given by name
    unknown_id: UUID,
    body: UnknownPromoteRequest,
    response: Response,
    caller: Enroller,
    services: ServicesDep,
    prefer: Prefer,
) -> UnknownPromoteResponse:
    """Give an unknown a name: its past visits and their faces are this user's from now on.

    Its best five faces are enrolled through the checks that every photo goes through. If all are
    refused, the user is made all the same, and `refusal` says why: enrol a photo.
    Repeat the request if it fails. `POST /api/v1/corrections/{correction_id}/undo` takes it back.
    """
    preferences = Preferences.read(prefer, services.settings.api.answer_timeout)
    name = NewName(user_id=body.user_id, email=body.email, full_name=body.full_name)
    try:
        done = await services.corrections.promote(unknown_id, name, _author(caller))
    except NoSuchUnknownError as error:
        raise _not_found() from error
    except UserNotFoundError as error:
        raise ApiProblem(404, "user_not_found", "there is no user with this id") from error
    except UnknownIsUserError as error:
        raise _is_user(error) from error
    enrolment, refusal = await enrol_best_faces(services, caller, done, preferences.seconds)
    preferences.acknowledge(response)
    return UnknownPromoteResponse(
        unknown_id=done.unknown_id,
        user_id=done.user_id,
        visits=done.visits,
        faces=done.faces,
        correction_id=done.correction_id,
        enrolment=enrolment,
        refusal=refusal,
    )


@router.post("/{unknown_id}/dismiss", responses={404: {}, 409: {}})
async def dismiss_unknown(
    unknown_id: UUID, caller: Enroller, db: MainDb, services: ServicesDep
) -> UnknownDismissResponse:
    """Put an unknown aside: no face, or not of interest. It is not listed any more.

    Its next visits join it, so they do not bring it back.
    `POST /api/v1/corrections/{correction_id}/undo` does.
    """
    try:
        left, made = await services.corrections.dismiss(unknown_id, _author(caller))
    except NoSuchUnknownError as error:
        raise _not_found() from error
    except UnknownIsUserError as error:
        raise _is_user(error) from error
    return UnknownDismissResponse.made_by(await _find(db, left), made)


@router.post("/{unknown_id}/join", responses={400: {}, 404: {}, 409: {}, 413: {}})
async def join_unknowns(
    unknown_id: UUID,
    body: UnknownJoinRequest,
    caller: Enroller,
    db: MainDb,
    services: ServicesDep,
) -> UnknownResponse:
    """Say that two unknowns are one person; the older one is left, and stays so.

    Two people of one frame cannot be joined (`cannot_regroup`).
    """
    by = _author(caller)
    stores = services.unknowns, services.unknown_gallery
    try:
        left = await join(*stores, unknown_id, body.other_id, by)
    except CannotRegroupError as error:
        raise ApiProblem(409, "cannot_regroup", str(error)) from error
    return await _shown(db, left)


@router.post("/{unknown_id}/part", responses={400: {}, 404: {}, 409: {}, 413: {}})
async def part_unknown(
    unknown_id: UUID,
    body: UnknownPartRequest,
    caller: Enroller,
    db: MainDb,
    services: ServicesDep,
) -> UnknownResponse:
    """Say that visits of an unknown are another person's; answers with that one, who stays apart.

    They are some of its visits, and not all (`cannot_regroup`).
    """
    by = _author(caller)
    stores = services.unknowns, services.unknown_gallery
    try:
        other = await part(*stores, unknown_id, body.visit_ids, by)
    except CannotRegroupError as error:
        raise ApiProblem(409, "cannot_regroup", str(error)) from error
    return await _shown(db, other)


async def _shown(db: MainDb, unknown_id: UUID) -> UnknownResponse:
    return UnknownResponse.of(await _find(db, unknown_id))


async def _find(db: MainDb, unknown_id: UUID) -> StoredUnknown:
    unknown = await find_unknown(db, unknown_id)
    if unknown is None:
        raise _not_found()
    return unknown


def _author(caller: Caller) -> Author:
    return Author(caller.actor, request_id.get() or None)


def _not_found() -> ApiProblem:
    return ApiProblem(404, "unknown_not_found", "there is no unknown with this id")


def _is_user(error: UnknownIsUserError) -> ApiProblem:
    return ApiProblem(409, "unknown_is_user", str(error))
