"""Who is in this photo?"""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from api.enrolment import expect_answers
from api.photos import FormLimits, read_form, require_pictures
from api.preferences import Preferences
from api.problems import ApiProblem
from api.schemas.faces import (
    FaceSearchRequest,
    FaceSearchResponse,
    UploadPendingResponse,
    status_url,
)
from api.searching import search_response
from api.security import Searcher
from api.services import ServicesDep
from streams.uploads import search_event

router = APIRouter(prefix="/faces", tags=["search"])


@router.post(
    "/search",
    response_model=FaceSearchResponse,
    responses={
        202: {"model": UploadPendingResponse, "description": "Not answered yet"},
        400: {}, 413: {}, 415: {},
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
    prefer: Annotated[str | None, Header(description="`respond-async`: do not wait")] = None,
) -> FaceSearchResponse | UploadPendingResponse:
    """Say who is in a photo, for every face in it. The probe does not become a stored face.

    Similarity is the cosine of probe and template. `threshold` replaces the model's own for this
    answer; the margin to the next candidate stays. Deactivated users are no candidates.
    """
    api = services.settings.api
    form = await read_form(
        request, FaceSearchRequest, FormLimits(1, api.max_photo_bytes), lists=frozenset()
    )
    require_pictures({"photo": form.photo})
    preferences = Preferences.read(prefer, api.answer_timeout)
    event = search_event()
    await services.uploads.publish([(event, form.photo)])
    answer = None
    if preferences.seconds > 0:
        (answer,) = await services.uploads.answers([event], preferences.seconds)
    preferences.acknowledge(response)
    if answer is None:
        await expect_answers(services, [event.id])
        response.status_code = 202
        response.headers["Location"] = status_url(event.id)
        response.headers["Retry-After"] = "1"
        return UploadPendingResponse(upload_id=event.id, status_url=status_url(event.id))
    if answer.status == "refused":
        raise ApiProblem(
            422,
            answer.code or "refused",
            answer.message or "the photo was refused",
            measures=answer.measures,
        )
    return await search_response(services, answer, form.limit, form.threshold)
