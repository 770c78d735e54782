"""Search by photo."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.auth.authorization import Searcher
from api.http.dependencies import ServicesDep
from api.http.prefer_header import Prefer, Preferences
from api.http.problems import ApiProblem, upload_failed
from api.schemas.faces import (
    FaceSearchRequest,
    FaceSearchResponse,
    UploadPendingResponse,
    search_status_url,
)
from api.uploads.enrolment_answers import expect_answers
from api.uploads.photo_forms import FormLimits, require_pictures, taken_in
from api.uploads.search_answers import search_response
from domain.upload_events import search_event

router = APIRouter(prefix="/api/v1/faces", tags=["search"])


@router.post(
    "/search",
    response_model=FaceSearchResponse,
    responses={
        202: {"model": UploadPendingResponse, "description": "Not answered yet"},
        400: {}, 408: {}, 413: {}, 415: {}, 500: {},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": "#/components/schemas/FaceSearchRequest"}
                }
            },
        }
    },
)  # fmt: skip
async def search_faces(
    request: Request,
    response: Response,
    _caller: Searcher,
    services: ServicesDep,
    prefer: Prefer,
) -> FaceSearchResponse | Response:
    """Find out who is in a photo, for every face in it. The probe is not stored as a face.

    Similarity is the cosine of probe and template. `threshold` replaces the model's own for this
    answer; the margin to the next candidate stays. Deactivated users are no candidates.
    """
    api = services.settings.api
    preferences = Preferences.read(prefer, api.answer_timeout)
    limits = FormLimits(1, api.max_photo_bytes, api.max_photo_bytes, api.upload_timeout)
    async with taken_in(request, services, FaceSearchRequest, limits) as form:
        require_pictures({"photo": form.photo}, services.settings.models.max_image_pixels)
        event = search_event(for_sightings=form.sightings)
        await services.uploads.publish([(event, form.photo)])
        limit, threshold = form.limit, form.threshold
        del form
    (answer,) = await services.uploads.answers([event], preferences.seconds)
    if answer is None:
        await expect_answers(services, [event])
        pending = UploadPendingResponse(
            upload_id=event.id, status_url=search_status_url(event.id, limit, threshold)
        )
        response = JSONResponse(
            pending.model_dump(mode="json"),
            202,
            {"Location": pending.status_url, "Retry-After": "1"},
        )
        preferences.acknowledge(response)
        return response
    preferences.acknowledge(response)
    if answer.status == "failed":
        raise upload_failed(answer.code, answer.message)
    if answer.status == "refused":
        raise ApiProblem(
            422,
            answer.code or "refused",
            answer.message or "the photo was refused",
            measures=answer.measures,
        )
    return await search_response(services, answer, limit, threshold)
