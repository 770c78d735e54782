"""Erasing one face out of every store.

Every step may be repeated. The row in the main database goes last, so that after a failure the
same request finds it and does the rest.
"""

from typing import TypeAlias

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from domain.events import PHOTO_KINDS
from services.audit import record
from sinks.main.schema import Face
from sinks.main.snapshots.snapshot_schema import SnapshotRow
from sinks.stores import Stores
from streams.clients.image_producer import upload_keys

#: Sessions on the main database.
Sessions: TypeAlias = async_sessionmaker[AsyncSession]


async def erase_face(stores: Stores, sessions: Sessions, face: Face, actor: str) -> None:
    """Erase one face. Of an enrolled one the person's template is made again from the others.

    The ledger's line stays, and keeps the same message, delivered again, from bringing the face
    back; a photo that is sent in again is enrolled. The snapshot of the frame, which shows the
    face, is erased.

    Raises:
        StoreUnavailable: a store is unavailable; the face's row is still there.
    """
    enrolled = face.kind in PHOTO_KINDS
    if enrolled:
        await stores.vectors.remove_template(face.id)
    else:
        await stores.vectors.remove_sighting(face.id)
    keys = [face.crop_key] if face.crop_key else []
    keys += upload_keys(face.event_uuid) if enrolled else []
    async with sessions() as db:
        of_frame = select(SnapshotRow.key).where(SnapshotRow.event_uuid == face.event_uuid)
        keys += (await db.scalars(of_frame)).all()
    await stores.crops.delete_many(keys)
    await stores.recents.forget_face(face.id)
    if enrolled:
        await stores.records.withdraw_photo(face.event_uuid)
    async with sessions.begin() as db:
        await db.execute(delete(Face).where(Face.id == face.id))
        await db.execute(delete(SnapshotRow).where(SnapshotRow.event_uuid == face.event_uuid))
        record(db, actor, "face.delete", f"face:{face.id}", kind="enrolled" if enrolled else "seen")
