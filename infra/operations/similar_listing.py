"""Where else a face was seen, for the command line: listed, with names."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from config.settings import Settings
from infra.terminal.tables import Row
from services.current_embedder import embedder_in_force
from services.similar_faces import SimilarFace, faces_of, find_probe, similar_sightings
from sinks.cache.recent_matches import Recents
from sinks.main.database_sessions import Databases
from sinks.main.main_store import Records
from sinks.main.models.model_store import ModelStore
from sinks.vector.vector_store import Vectors


@dataclass(frozen=True, slots=True)
class SimilarFilter:
    """Which sightings are asked for.

    Attributes:
        limit: at most so many.
        since: only seen at this moment or later.
        until: only seen before it.
    """

    limit: int
    since: datetime | None = None
    until: datetime | None = None


async def similar_rows(settings: Settings, face_id: UUID, wanted: SimilarFilter) -> list[Row]:
    """The sightings most like a face as rows of a listing, best first.

    Args:
        settings: of the process.
        face_id: the face.
        wanted: which sightings.

    Raises:
        NoSuchFaceError: there is no face with this id.
        ProbeInactiveError: it is an enrolled photo of a deactivated user.
        NoEmbeddingError: its embedding was deleted.
        StoreUnavailable: a store is unavailable.
    """
    async with (
        Databases(settings) as databases,
        databases.main() as session,
        Vectors(settings.vector_db) as vectors,
        ModelStore(settings.main_db) as models,
        Records(settings.main_db) as records,
        Recents(settings.redis) as recents,
    ):
        model = await models.serving() or await embedder_in_force(settings.models)
        probe = await find_probe(session, vectors, recents, face_id, model)
        found = await similar_sightings(
            vectors, probe, wanted.limit, since=wanted.since, until=wanted.until
        )
        faces = await faces_of(session, found)
        users = await records.users({one.face.user_id for one in faces if one.face.user_id})
    names = {user_id: user.label for user_id, user in users.items()}
    return [_row(one, names) for one in faces]


def _row(one: SimilarFace, names: dict[UUID, str]) -> Row:
    face = one.face
    return {
        "similarity": one.similarity,
        "face_id": face.id,
        "camera_id": face.camera_id,
        "seen_at": face.at,
        "user_id": face.user_id,
        "name": names.get(face.user_id) if face.user_id else None,
        "decision": face.decision,
        "quality": face.quality,
        "track_id": face.track_id,
        "model": face.model,
        "crop_key": face.shown_crop_key,
    }
