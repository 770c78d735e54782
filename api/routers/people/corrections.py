"""Corrections: made, undone, listed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from fastapi import APIRouter, Response

from api.auth.authorization import Enroller, Reader
from api.http.dependencies import Services, ServicesDep
from api.http.pagination import PageDep
from api.http.problems import ApiProblem
from api.http.request_context import address
from api.listings.query_filters import UserFilter
from api.schemas.corrections import (
    CorrectionCreateRequest,
    CorrectionListResponse,
    CorrectionResponse,
)
from api.schemas.faces import status_url
from config.observability.request_id import request_id
from domain.decisions.corrections import CorrectionError, CorrectionKind
from domain.events import utc_now
from domain.people.stored_corrections import Correction, CorrectionRequest
from domain.personal_data import Author
from services.api_keys import Caller
from services.people.people_corrections import enrol_corrected
from sinks.store_errors import StoreUnavailable
from streams.clients.image_producer import PublishError

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/corrections", tags=["corrections"])


@router.post("", status_code=201, responses={400: {}, 404: {}, 409: {}, 413: {}})
async def make_correction(
    body: CorrectionCreateRequest, response: Response, caller: Enroller, services: ServicesDep
) -> CorrectionResponse:
    """Say who a face or the person of a visit is, or is not; merge users; split photos off.

    Labels change at once, and stay, whatever is decided again. Within two seconds no worker takes a
    face that is as close to a face that is *not* the user as to the user's template for the user
    (`vetoed`). What changes is announced on `people.changes`; corrected faces and visits are
    announced again with `supersedes`. Every correction can be undone for 30 days.
    """
    request = CorrectionRequest(
        kind=CorrectionKind(body.kind),
        author=_author(caller),
        user_id=body.user_id,
        other_user_id=body.other_user_id,
        face_id=body.face_id,
        visit_id=body.visit_id,
        face_ids=tuple(body.face_ids or ()),
    )
    enrolment: dict[str, str] = {}
    with _problems():
        correction = await services.corrections.make(request)
    if body.enrol:
        enrolment = await _enrol(services, caller, correction)
    for user_id in (body.user_id, body.other_user_id):
        if user_id is not None:
            services.people.forget(user_id)
    response.headers["Location"] = address(f"/api/v1/corrections/{correction.id}")
    return CorrectionResponse.of(correction, utc_now(), **enrolment)


@router.get("")
async def list_corrections(
    _caller: Reader, services: ServicesDep, page: PageDep, user_id: UserFilter = None
) -> CorrectionListResponse:
    """Corrections and undos, newest first."""
    after = (page.after.at, page.after.id) if page.after else None
    found = await services.corrections.list(page.limit + 1, user=user_id, after=after)
    now = utc_now()
    return CorrectionListResponse(
        items=[CorrectionResponse.of(one, now) for one in found[: page.limit]],
        next_cursor=page.next_cursor([(one.made_at, one.id) for one in found]),
    )


@router.get("/{correction_id}", responses={404: {}})
async def read_correction(
    correction_id: UUID, _caller: Reader, services: ServicesDep
) -> CorrectionResponse:
    """One correction."""
    with _problems():
        found = await services.corrections.find(correction_id)
    return CorrectionResponse.of(found, utc_now())


@router.post("/{correction_id}/undo", status_code=201, responses={404: {}, 409: {}})
async def undo_correction(
    correction_id: UUID, response: Response, caller: Enroller, services: ServicesDep
) -> CorrectionResponse:
    """Undo a correction, within 30 days and once; what a later correction has said stays.

    Of a promotion, the visits and faces are the unknown's again, the photos that it enrolled are
    taken out, and the unknown is listed again. A user that it made stays, without those photos:
    delete the user, or name the unknown again. Of a dismissal, the unknown is listed again.
    """
    with _problems():
        correction = await services.corrections.undo(correction_id, _author(caller))
    for user_id in (correction.user_id, correction.other_user_id):
        if user_id is not None:
            services.people.forget(user_id)
    response.headers["Location"] = address(f"/api/v1/corrections/{correction.id}")
    return CorrectionResponse.of(correction, utc_now())


async def _enrol(services: Services, caller: Caller, correction: Correction) -> dict[str, str]:
    """Send the crop in; the correction stands, whether or not there is one."""
    try:
        event = await enrol_corrected(
            services.stores, services.databases.main, services.uploads, caller.actor, correction
        )
    except CorrectionError as error:
        return {"enrolment_problem": error.code}
    # The correction is made: an error would have the caller make it again.
    except StoreUnavailable as error:
        logger.warning("a correction is not enrolled: %s", error)
        return {"enrolment_problem": "store_unavailable"}
    except PublishError as error:
        logger.warning("a correction is not enrolled: %s", error)
        return {"enrolment_problem": "broker_unavailable"}
    return {"enrolment_url": status_url(event.key)}


def _author(caller: Caller) -> Author:
    return Author(caller.actor, request_id.get() or None)


@contextmanager
def _problems() -> Iterator[None]:
    """Corrections that cannot be made, as problems."""
    try:
        yield
    except CorrectionError as error:
        status = 404 if error.code.endswith("_not_found") else 409
        raise ApiProblem(status, error.code, str(error)) from error
