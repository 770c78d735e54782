"""Faces: enrolled, shown, deleted."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.authorization import Enroller, Reader, require_scope
from api.http.dependencies import MainDb, ServicesDep
from api.http.prefer_header import Prefer, Preferences
from api.http.problems import ApiProblem
from api.http.request_context import address
from api.http.stored_pictures import picture_response, picture_responses
from api.listings.named_matches import candidate_of
from api.schemas.faces import FaceResponse, FaceUploadRequest, FaceUploadResponse
from api.uploads.enrolment_answers import enrolment_response, publish_photos
from api.uploads.photo_forms import FormLimits, require_pictures, taken_in
from domain.events import PHOTO_KINDS
from services.face_erasure import erase_face
from sinks.main.schema import Face

# Only what looks like an id is one: GET of "search" is no face that is missing.
router = APIRouter(prefix="/api/v1/faces", tags=["faces"])


@router.post(
    "",
    status_code=201,
    responses={
        202: {"model": FaceUploadResponse, "description": "Not all answered yet"},
        400: {}, 404: {}, 408: {}, 409: {}, 413: {}, 415: {}, 500: {},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {"$ref": "#/components/schemas/FaceUploadRequest"}
                }
            },
        }
    },
)  # fmt: skip
async def enrol_face(
    request: Request,
    response: Response,
    caller: Enroller,
    services: ServicesDep,
    prefer: Prefer,
) -> FaceUploadResponse:
    """Enrol a user from photos of this person.

    Where a photo shows other faces too, the largest one is taken if the others are clearly smaller,
    at the edge of the photo or of poor quality; `message` says so. A photo that resembles another
    user is refused as `looks_like_another_user`, and one that does not resemble the user's own
    photos as `unlike_own_photos` (409), unless `force` is true.

    Waits for the pipeline's answer; 202 with status addresses when it does not come in time, or
    is not to be waited for. The same photo again changes nothing. When every photo was refused,
    the answer is a problem with the code of the first refusal (`no_face`, `several_faces`,
    `unreliable_face`, `poor_quality`, `too_many_pixels`, ...) and what was measured; when some
    were, `uploads` tells. When none was enrolled and the pipeline gave one up, it is
    `upload_failed`.
    """
    api = services.settings.api
    preferences = Preferences.read(prefer, api.answer_timeout)
    limits = FormLimits(
        api.max_photos, api.max_photo_bytes, api.max_request_bytes, api.upload_timeout
    )
    async with taken_in(
        request, services, FaceUploadRequest, limits, lists=frozenset({"photos"})
    ) as form:
        photos = {f"photos.{number}": photo for number, photo in enumerate(form.photos)}
        require_pictures(photos, services.settings.models.max_image_pixels)
        user_id = form.user_id
        events = await publish_photos(services, caller, user_id, form.photos, force=form.force)
        del form, photos
    answers = await services.uploads.answers(events, preferences.seconds)
    result = await enrolment_response(services, caller, user_id, events, answers)
    preferences.acknowledge(response)
    locate(response, result)
    return result


def locate(response: Response, result: FaceUploadResponse) -> None:
    """Say where to look: at the first face, or at the first photo that is not yet answered."""
    if result.status == "pending":
        response.status_code = 202
        pending = next(one for one in result.uploads if one.status == "pending")
        response.headers["Location"] = pending.status_url
        response.headers["Retry-After"] = "1"
        return
    # There is none where the face was deleted between the answer and now.
    for face in (one.face for one in result.uploads if one.face is not None):
        response.headers["Location"] = address(f"/api/v1/faces/{face.id}")
        return


@router.get("/{face_id:uuid}", responses={404: {}})
async def read_face(
    face_id: UUID, caller: Reader, db: MainDb, services: ServicesDep
) -> FaceResponse:
    """A stored face."""
    face = await _existing(db, face_id)
    candidate = candidate_of(face, caller)
    people = await services.people.get([candidate] if candidate else [])
    return FaceResponse.of(face, people.get(candidate) if candidate else None)


@router.get(
    "/{face_id:uuid}/crop",
    response_class=Response,
    responses=picture_responses("The crop"),
)
async def read_crop(
    face_id: UUID, _caller: Reader, db: MainDb, services: ServicesDep, request: Request
) -> Response:
    """The face with some surroundings, as JPEG."""
    key = (await _existing(db, face_id)).shown_crop_key
    await db.rollback()
    missing = ApiProblem(404, "crop_not_found", "there is no crop of this face")
    return await picture_response(request, services.stores.crops, key, missing)


@router.delete("/{face_id:uuid}", status_code=204, responses={404: {}})
async def delete_face(face_id: UUID, caller: Enroller, db: MainDb, services: ServicesDep) -> None:
    """Delete a face. Of an enrolled one, the person's template is made again from the others.

    A sighting is evidence of who was where: only the scope `admin` may delete it.
    """
    face = await _existing(db, face_id)
    await db.rollback()
    if face.kind not in PHOTO_KINDS:
        require_scope(caller, "admin")
    await erase_face(services.stores, services.databases.main, face, caller.actor)


async def _existing(db: AsyncSession, face_id: UUID) -> Face:
    face = await db.get(Face, face_id)
    if face is None:
        raise ApiProblem(404, "face_not_found", "there is no face with this id")
    db.expunge(face)
    return face
