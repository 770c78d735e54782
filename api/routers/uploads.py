"""What became of an upload."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.auth.authorization import Uploader
from api.http.dependencies import Services, ServicesDep
from api.http.problems import ApiProblem
from api.schemas.faces import MAX_CANDIDATES, CandidateLimit, Threshold, UploadStatusResponse
from api.uploads.enrolment_answers import read_faces, similar_users
from api.uploads.search_answers import search_response
from domain.upload_answers import UploadAnswer, decode_answer
from domain.upload_events import event_uuid
from services.api_keys import Caller
from sinks.store_errors import StoreUnavailable

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])


@router.get("/{upload_id}", responses={404: {}})
async def read_upload(  # noqa: PLR0913, PLR0917 - a request and its parameters
    upload_id: UUID,
    response: Response,
    caller: Uploader,
    services: ServicesDep,
    limit: Annotated[CandidateLimit, Query()] = MAX_CANDIDATES,
    threshold: Annotated[Threshold | None, Query()] = None,
) -> UploadStatusResponse:
    """The state of an upload, from the ledger: `pending` until the pipeline has answered.

    `failed`: the pipeline gave it up, for no fault that it has found in the photo. An operator may
    replay it, and its state changes then.

    `limit` and `threshold` are for searches, and are part of the address that a search has
    returned.
    """
    row = await services.uploads.row_of(event_uuid(str(upload_id)))
    expected = await _expected(services, upload_id)
    if row is not None and row.processed_at.isoformat() == expected:
        row = None  # what another model said, before the same photo was sent in again
    payload = row.answer if row is not None else None
    answer = decode_answer(payload) if payload is not None else None
    if answer is not None:
        if answer.status != "searched":
            return await _enrolled(services, caller, answer, upload_id)
        found = await search_response(services, answer, limit, threshold)
        return UploadStatusResponse(upload_id=upload_id, status="searched", search=found)
    # An answer of a later release may be unreadable here, but it exists.
    if payload is None and expected is None:
        raise ApiProblem(404, "upload_not_found", "there is no upload with this id")
    response.headers["Retry-After"] = "1"
    return UploadStatusResponse(upload_id=upload_id, status="pending")


async def _enrolled(
    services: Services, caller: Caller, answer: UploadAnswer, upload_id: UUID
) -> UploadStatusResponse:
    """The state of an upload that was to be enrolled, or of one that was refused or failed."""
    similar = await similar_users(services, caller, [answer])
    faces = await read_faces(services, [answer.face_id] if answer.face_id else [])
    return UploadStatusResponse(
        upload_id=upload_id,
        status=answer.status,
        face=faces.get(answer.face_id) if answer.face_id else None,
        code=answer.code,
        message=answer.message,
        measures=answer.measures,
        weight=answer.weight,
        ignored_faces=answer.ignored_faces,
        another=similar.get(answer.upload_id),
    )


async def _expected(services: Services, upload_id: UUID) -> str | None:
    """The result that a sent upload replaces; None if no upload was sent."""
    try:
        return await services.stores.recents.expected_answer(str(upload_id))
    except StoreUnavailable:
        return ""  # it cannot be known; an upload that was made must not be denied
