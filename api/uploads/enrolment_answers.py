"""The response to photos: enrolments and refusals."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select

from api.http.dependencies import Services
from api.http.problems import ApiProblem, upload_failed
from api.schemas.faces import (
    FaceResponse,
    FaceUploadResponse,
    SimilarUser,
    UploadResult,
    status_url,
)
from api.schemas.users import UserSummary
from domain.decisions.likeness import OVERRULED_BY_FORCE
from domain.events import ImageEvent
from domain.upload_answers import UploadAnswer
from domain.upload_events import USER_INACTIVE, enrol_event
from services.api_keys import Caller
from services.audit import record
from services.unknowns.unknown_promotion import note_photos
from sinks.main.schema import Face, User
from sinks.store_errors import StoreUnavailable


async def publish_photos(  # noqa: PLR0913 - what is sent, and how
    services: Services,
    caller: Caller,
    user_id: UUID,
    photos: Sequence[bytes],
    *,
    force: bool = False,
    promotion: UUID | None = None,
) -> list[ImageEvent]:
    """Send photos in.

    Args:
        services: of the process.
        caller: for the audit trail.
        user_id: whose photos they are.
        photos: image bytes; a repeated one counts once.
        force: enrol them whatever they resemble.
        promotion: the correction that they come from, whose undo takes them out.

    Returns:
        The event of each photo.

    Raises:
        ApiProblem: ``user_not_found`` or ``user_inactive``.
        CorrectionError: ``promotion_undone``.
        PublishError: the broker did not take them.
        StoreUnavailable: a store is unavailable.
    """
    sent = [(enrol_event(user_id, photo, force=force), photo) for photo in photos]
    uploads = {event.id: (event, photo) for event, photo in sent}
    async with services.databases.main.begin() as db:
        _require_active(await db.get(User, user_id))
        if promotion is not None:
            await note_photos(db, promotion, uploads.keys())
        said = {"force": True} if force else {}
        record(db, caller.actor, "face.enrol", f"user:{user_id}", uploads=list(uploads), **said)
    await services.uploads.publish(list(uploads.values()))
    return [event for event, _ in uploads.values()]


def _require_active(user: User | None) -> None:
    if user is None:
        raise ApiProblem(404, "user_not_found", "there is no user with this id")
    if not user.is_active:
        raise ApiProblem(409, USER_INACTIVE.code, USER_INACTIVE.message)


async def enrolment_response(
    services: Services,
    caller: Caller,
    user_id: UUID,
    events: Sequence[ImageEvent],
    answers: Sequence[UploadAnswer | None],
) -> FaceUploadResponse:
    """The response to the photos of a user.

    Args:
        services: of the process.
        caller: may read who another user is, or not.
        user_id: whose photos they are.
        events: of the photos.
        answers: of the pipeline to each; None where there is none yet.

    Raises:
        ApiProblem: the first refusal's code when every photo was refused; ``upload_failed`` when
            none was enrolled and the pipeline gave one up.
        StoreUnavailable: a store is unavailable.
    """
    faces = await read_faces(services, (one.face_id for one in answers if one and one.face_id))
    similar = await similar_users(services, caller, [one for one in answers if one is not None])
    results = [
        _result(event.id, answer, faces, similar)
        for event, answer in zip(events, answers, strict=True)
    ]
    refused = [answer for answer in answers if answer and answer.status == "refused"]
    failed = [answer for answer in answers if answer and answer.status == "failed"]
    if len(refused) + len(failed) == len(results):
        uploads = [result.model_dump(mode="json", exclude_none=True) for result in results]
        if failed:
            raise upload_failed(failed[0].code, failed[0].message, uploads=uploads)
        first = refused[0]
        raise ApiProblem(
            409 if first.code in OVERRULED_BY_FORCE else 422,
            first.code or "refused",
            first.message or "the photo was refused",
            measures=first.measures,
            uploads=uploads,
        )
    pending = [result for result in results if result.status == "pending"]
    waiting = {str(result.upload_id) for result in pending}
    await expect_answers(services, [event for event in events if event.id in waiting])
    return FaceUploadResponse(
        user_id=user_id,
        status="pending" if pending else "enrolled",
        photos=await _photos_of(services, user_id, faces.values()),
        uploads=results,
    )


async def _photos_of(
    services: Services, user_id: UUID, faces: Iterable[FaceResponse]
) -> int | None:
    """Photos that the template of these faces' model is made of by now.

    The answers do not say so: for a photo that was enrolled before, the answer is that of then.
    """
    model = next((face.model for face in faces), None)
    if model is None:
        return None
    async with services.databases.main() as db:
        return await db.scalar(
            select(func.count())
            .select_from(Face)
            .where(Face.user_id == user_id, Face.similarity.is_(None), Face.model == model)
        )


def _result(
    upload_id: str,
    answer: UploadAnswer | None,
    faces: dict[UUID, FaceResponse],
    similar: Mapping[str, SimilarUser],
) -> UploadResult:
    common = {"upload_id": UUID(upload_id), "status_url": status_url(upload_id)}
    if answer is None:
        return UploadResult(**common, status="pending")
    if answer.status in ("refused", "failed"):
        return UploadResult(
            **common,
            status=answer.status,
            code=answer.code,
            message=answer.message,
            measures=answer.measures,
            another=similar.get(upload_id),
        )
    return UploadResult(
        **common,
        status="enrolled",
        face=faces.get(answer.face_id) if answer.face_id else None,
        message=answer.message,
        measures=answer.measures,
        weight=answer.weight,
        ignored_faces=answer.ignored_faces,
    )


async def similar_users(
    services: Services, caller: Caller, answers: Sequence[UploadAnswer]
) -> dict[str, SimilarUser]:
    """The other users whom refused photos resemble, by upload.

    A key that may not read users sees their ids alone.
    """
    found = {one.upload_id: one.another for one in answers if one.another is not None}
    wanted = {one.user_id for one in found.values()} if caller.may("read") else set()
    people = await services.people.get(wanted)
    return {
        upload_id: SimilarUser(
            user_id=one.user_id,
            user=UserSummary.of(people[one.user_id]) if one.user_id in people else None,
            similarity=one.similarity,
        )
        for upload_id, one in found.items()
    }


async def read_faces(services: Services, face_ids: Iterable[UUID]) -> dict[UUID, FaceResponse]:
    """Those of these faces that are stored, by id."""
    async with services.databases.main() as db:
        faces = await db.scalars(select(Face).where(Face.id.in_(list(face_ids))))
        return {face.id: FaceResponse.of(face) for face in faces}


async def expect_answers(services: Services, events: Sequence[ImageEvent]) -> None:
    """Note which uploads are on their way; should Redis be away, all unknown ones seem to be."""
    seconds = services.settings.kafka.uploads_retention_hours * 3600
    for event in events:
        replaced = await services.uploads.replaced_by(event)
        instead_of = replaced.processed_at.isoformat() if replaced else ""
        try:
            await services.stores.recents.expect_answer(event.id, seconds, instead_of)
        except StoreUnavailable:
            return
