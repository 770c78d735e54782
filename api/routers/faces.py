"""Faces: enrolled, shown, deleted."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.databases import MainDb
from api.enrolment import enrol_photos
from api.erasure import erase_face
from api.photos import FormLimits, read_form, require_pictures
from api.preferences import Preferences
from api.problems import ApiProblem
from api.schemas.faces import FaceResponse, FaceUploadRequest, FaceUploadResponse
from api.security import Enroller, Reader
from api.services import ServicesDep
from sinks.errors import StoreRejected
from sinks.schema import Face

router = APIRouter(prefix="/api/v1/faces", tags=["faces"])

#: Crops never change; but a person may be erased, so nobody keeps them for long.
_CROP_HEADERS = {"Cache-Control": "private, max-age=60"}


@router.post(
    "",
    status_code=201,
    responses={
        202: {"model": FaceUploadResponse, "description": "Not all answered yet"},
        400: {}, 404: {}, 409: {}, 413: {}, 415: {},
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
    prefer: Annotated[str | None, Header(description="`respond-async`: do not wait")] = None,
) -> FaceUploadResponse:
    """Enrol a user from photos, each of which shows this person alone.

    Waits for the pipeline's answer; 202 with status addresses when it does not come in time, or
    is not to be waited for. The same photo again changes nothing. When every photo was refused,
    the answer is a problem with the code of the first refusal (`no_face`, `several_faces`,
    `poor_quality`, `too_many_pixels`, ...) and what was measured; when some were, `uploads` tells.
    """
    api = services.settings.api
    form = await read_form(
        request,
        FaceUploadRequest,
        FormLimits(api.max_photos, api.max_photo_bytes),
        lists=frozenset({"photos"}),
    )
    require_pictures({f"photos.{number}": photo for number, photo in enumerate(form.photos)})
    preferences = Preferences.read(prefer, api.answer_timeout)
    result = await enrol_photos(services, caller, form.user_id, form.photos, preferences.seconds)
    preferences.acknowledge(response)
    if result.status == "pending":
        response.status_code = 202
        response.headers["Location"] = result.uploads[0].status_url
        response.headers["Retry-After"] = "1"
    else:
        face = next(one.face for one in result.uploads if one.face is not None)
        response.headers["Location"] = f"/api/v1/faces/{face.id}"
    return result


@router.get("/{face_id}", responses={404: {}})
async def read_face(face_id: UUID, _caller: Reader, db: MainDb) -> FaceResponse:
    """A stored face."""
    return FaceResponse.of(await _existing(db, face_id))


@router.get(
    "/{face_id}/crop",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The crop"}, 404: {}},
)
async def read_crop(face_id: UUID, _caller: Reader, db: MainDb, services: ServicesDep) -> Response:
    """The face with some surroundings, as JPEG."""
    face = await _existing(db, face_id)
    await db.rollback()
    try:
        crop = await services.crops.get(face.crop_key) if face.crop_key else None
    except StoreRejected:
        crop = None
    if crop is None:
        raise ApiProblem(404, "crop_not_found", "there is no crop of this face")
    return Response(crop, media_type="image/jpeg", headers=_CROP_HEADERS)


@router.delete("/{face_id}", status_code=204, responses={404: {}})
async def delete_face(face_id: UUID, caller: Enroller, db: MainDb, services: ServicesDep) -> None:
    """Delete a face. Of an enrolled one, the person's template is made anew from the others."""
    face = await _existing(db, face_id)
    await db.rollback()
    await erase_face(services, face, caller.actor)


async def _existing(db: AsyncSession, face_id: UUID) -> Face:
    face = await db.get(Face, face_id)
    if face is None:
        raise ApiProblem(404, "face_not_found", "there is no face with this id")
    db.expunge(face)
    return face
