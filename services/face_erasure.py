"""Erasing one face out of every store.

Every step may be repeated. The row in the main database goes last, so that after a failure the
same request finds it and does the rest.
"""

from typing import Protocol

from sqlalchemy import delete

from domain.events import MatchKind
from services.audit import record
from sinks.cache.recent_matches import Recents
from sinks.main.database_sessions import Databases
from sinks.main.schema import Event, Face
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors
from streams.clients.image_producer import upload_keys


class FaceStores(Protocol):
    """Where a face is: what `Services` has of it, or the command line."""

    @property
    def databases(self) -> Databases:
        """The sessions on the databases."""
        ...

    @property
    def vectors(self) -> Vectors:
        """The templates."""
        ...

    @property
    def crops(self) -> Crops:
        """The crops, and photos by claim check."""
        ...

    @property
    def recents(self) -> Recents:
        """The cache."""
        ...


async def erase_face(services: FaceStores, face: Face, actor: str) -> None:
    """Erase one face. Of an enrolled one the person's template is made again from the others.

    An enrolment's line leaves the ledger, so that the same photo may be enrolled again. A frame's
    stays: it keeps a redelivered frame from bringing the face back.

    Raises:
        StoreUnavailable: a store is unavailable; the face's row is still there.
    """
    enrolled = face.kind == MatchKind.ENROLLED
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
