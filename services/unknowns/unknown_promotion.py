"""The photos of a promotion: the best faces of an unknown that was given a name.

The promotion itself is a correction (`services.people.people_corrections.Corrections.promote`).
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.decisions.corrections import CorrectionError
from domain.events import MatchKind
from domain.upload_events import PROMOTION_UNDONE, event_uuid
from services.unknowns.stored_unknowns import best_faces
from sinks.main.people.correction_schema import CorrectionRow, PromotedPhotoRow
from sinks.main.schema import Face
from sinks.main.unknowns.unknown_schema import UnknownRow
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected

#: Faces that a promoted unknown is enrolled with, at most.
MOST_ENROLLED = 5


async def best_pictures(session: AsyncSession, crops: Crops, unknown_id: UUID) -> list[bytes]:
    """The pictures that a promoted unknown is enrolled with, each of another visit.

    A face that is another user's, as a person has said, is none of them.

    Args:
        session: on the main database.
        crops: where they are.
        unknown_id: the unknown.

    Raises:
        StoreUnavailable: the object store is unavailable.
    """
    unknown = await session.get(UnknownRow, unknown_id)
    pictures = []
    for face in await best_faces(session, unknown_id, MOST_ENROLLED):
        is_theirs = unknown is not None and face.user_id == unknown.user_id
        if face.shown_crop_key is None or not is_theirs:
            continue
        try:
            pictures.append(await crops.get(face.shown_crop_key))
        except StoreRejected:
            continue  # it was deleted in the meantime
    return pictures


async def note_photos(
    session: AsyncSession, correction_id: UUID, upload_ids: Collection[str]
) -> None:
    """Note the photos that a promotion sends in, before they are sent: an undo takes them out.

    One that is enrolled already was enrolled otherwise, and stays.

    Args:
        session: on the main database, in a transaction.
        correction_id: the promotion.
        upload_ids: of the photos' events, which were made before.

    Raises:
        CorrectionError: ``promotion_undone``: nothing is to be sent.
    """
    # An undo holds the row, too: it comes before, and is seen, or after, and sees these photos.
    held = {"key_share": True, "read": True}
    promotion = await session.get(CorrectionRow, correction_id, with_for_update=held)
    undone = select(CorrectionRow.id).where(CorrectionRow.undoes == correction_id)
    if promotion is None or await session.scalar(undone) is not None:
        raise CorrectionError(PROMOTION_UNDONE.code, PROMOTION_UNDONE.message)
    events = {event_uuid(one) for one in upload_ids}
    enrolled = select(Face.event_uuid).where(
        Face.event_uuid.in_(events), Face.kind == MatchKind.ENROLLED
    )
    own = sorted(events - set(await session.scalars(enrolled)))
    if own:
        rows = [{"correction_id": correction_id, "event_uuid": one} for one in own]
        await session.execute(insert(PromotedPhotoRow).on_conflict_do_nothing(), rows)
