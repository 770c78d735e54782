"""Erasing: a person, or one face, out of every store.

Every step may be repeated. The row in the main database goes last, so that after a failure the
same request finds it and does the rest.
"""

from uuid import UUID

from sqlalchemy import Text, cast, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit import record
from api.schemas.faces import is_enrolled
from api.services import Services
from sinks.schema import AuditEntry, Event, Face, User
from streams.images import upload_keys
from streams.uploads import event_uuid


async def erase_user(services: Services, user_id: UUID, actor: str) -> None:
    """Erase a person.

    1. vectors: the templates and every gallery; the link of sightings (a tombstone stays, so that
       a photo still in flight cannot bring the person back)
    2. S3: crops of enrolled faces and of sightings, photos that came by claim check
    3. Redis: recents, matches, answers
    4. main: enrolled faces and their answers; sightings lose link and crop; the user

    What remains is an unknown's sightings, and an audit trail of identifiers.

    Raises:
        StoreUnavailable: a store is away; the user's row is still there.
    """
    erased = await services.vectors.erase_user(user_id)
    async with services.databases.main() as db:
        faces = (await db.scalars(select(Face).where(Face.user_id == user_id))).all()
        uploads = await _uploads_of(db, user_id)
    enrolled = [face for face in faces if is_enrolled(face)]
    crops = [face.crop_key for face in faces if face.crop_key]
    events = {face.event_uuid for face in enrolled} | {event_uuid(one) for one in uploads}
    photos = [key for event in events for key in upload_keys(event)]
    await services.crops.delete_many([*crops, *photos])
    await services.recents.forget_user(user_id)
    services.live.forget_user(user_id)
    async with services.databases.main.begin() as db:
        await db.execute(delete(Face).where(Face.id.in_([face.id for face in enrolled])))
        # What was settled since the first look loses its link and its crop too. The lock keeps
        # more from coming until the user is gone.
        await db.execute(select(User.id).where(User.id == user_id).with_for_update())
        linked = await db.scalars(select(Face.crop_key).where(Face.user_id == user_id))
        late = {key for key in linked if key} - set(crops)
        await db.execute(
            update(Face).where(Face.user_id == user_id).values(user_id=None, crop_key=None)
        )
        await db.execute(
            delete(Event).where(
                Event.kind != "frame", cast(Event.answer, Text).contains(str(user_id))
            )
        )
        await db.execute(delete(User).where(User.id == user_id))
        record(
            db,
            actor,
            "user.delete",
            f"user:{user_id}",
            templates=erased.templates,
            sightings=erased.sightings,
            crops=len(crops),
        )
    services.people.forget(user_id)
    await services.crops.delete_many(late)


async def erase_face(services: Services, face: Face, actor: str) -> None:
    """Erase one face. Of an enrolled one the person's template is made anew from the others.

    An enrolment's line leaves the ledger, so that the same photo may be enrolled again. A frame's
    stays: it keeps a redelivered frame from bringing the face back.

    Raises:
        StoreUnavailable: a store is away; the face's row is still there.
    """
    enrolled = is_enrolled(face)
    if enrolled:
        await services.vectors.remove_template(face.id)
    else:
        await services.vectors.remove_sighting(face.id)
    keys = [face.crop_key] if face.crop_key else []
    await services.crops.delete_many([*keys, *(upload_keys(face.event_uuid) if enrolled else [])])
    await services.recents.forget_face(face.id)
    async with services.databases.main.begin() as db:
        await db.execute(delete(Face).where(Face.id == face.id))
        if enrolled:
            await db.execute(
                delete(Event).where(Event.event_uuid == face.event_uuid, Event.model == face.model)
            )
        record(db, actor, "face.delete", f"face:{face.id}", kind="enrolled" if enrolled else "seen")


async def _uploads_of(db: AsyncSession, user_id: UUID) -> set[str]:
    """Every photo that was sent in to enrol this person, the refused ones too."""
    details = await db.scalars(
        select(AuditEntry.detail).where(
            AuditEntry.target == f"user:{user_id}", AuditEntry.action == "face.enrol"
        )
    )
    return {upload for detail in details for upload in detail.get("uploads", ())}
