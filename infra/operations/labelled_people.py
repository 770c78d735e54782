"""What `fecapass evaluate --from-production` searches: the gallery, and faces that people named."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from config.settings import Settings
from domain.decisions.matching import MatchPolicy
from domain.decisions.model_change import served_policy
from domain.events import DetectedFace
from domain.store_rows import Embedding
from infra.evaluation.labelled_photos import LabelledPhoto
from infra.evaluation.photo_faces import ReadPhoto
from infra.evaluation.protocol import Roles
from infra.operations.checked_people import deciding_model
from ml.runtime.model_registry import match_policy
from services.people.labelled_sightings import labelled_sightings
from sinks.main.database_sessions import Databases
from sinks.main.models.model_store import ModelStore
from sinks.vector.vector_store import Vectors

Box: TypeAlias = tuple[float, float, float, float]

_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_NO_LANDMARKS = (0.0,) * 10


@dataclass(frozen=True, slots=True)
class LabelledPeople:
    """The gallery as it is, and what is searched in it.

    Attributes:
        model: id of the embedder.
        policy: with which the model serves.
        roles: who is enrolled with which photos, and the faces that are searched.
    """

    model: str
    policy: MatchPolicy
    roles: Roles


async def labelled_people(settings: Settings) -> LabelledPeople:
    """Read the gallery of the model that serves, and the faces of which people said who they are.

    Args:
        settings: of the process.

    Raises:
        NoGalleryError: it is not known which model serves.
        StoreUnavailable: a store is unavailable.
    """
    async with ModelStore(settings.main_db) as models:
        rows = {one.id: one for one in await models.models()}
        model = await deciding_model(models, settings)
    async with Vectors(settings.vector_db) as vectors, Databases(settings) as databases:
        roles = await production_roles(databases, vectors, model)
    policy = served_policy(rows.get(model), match_policy(model, settings.models))
    return LabelledPeople(model, policy.in_gallery(len(roles.enrolled)), roles)


async def production_roles(databases: Databases, vectors: Vectors, model: str) -> Roles:
    """What each enrolled photo and each labelled face of a model is used for.

    Args:
        databases: with the corrections.
        vectors: with the embeddings.
        model: id of the embedder.
    """
    roles = Roles()
    photos = await vectors.gallery_photos(model)
    for face_id, user_id, embedding, weight in zip(
        photos.face_ids, photos.user_ids, photos.embeddings, photos.weights.tolist(), strict=True
    ):
        read = _read(face_id, str(user_id), None, _face(embedding))
        roles.enrolled.setdefault(str(user_id), []).append(replace(read, weight=weight))
    async with databases.main() as session:
        sightings = await labelled_sightings(session, model)
    embeddings = await vectors.sightings_by_id(model, [one.face_id for one in sightings])
    for one in sightings:
        embedding = embeddings.get(one.face_id)
        if embedding is None:
            roles.without_face += 1
            continue
        enrolled = str(one.user_id) in roles.enrolled
        # For the gallery, one who is named and has no photo is an unknown person.
        person = str(one.user_id) if one.user_id else f"visit {one.stay}"
        read = _read(
            one.face_id,
            person,
            one.camera_id,
            _face(embedding, box=one.box, score=one.score, quality=one.quality),
        )
        (roles.probes if enrolled else roles.unknown).append(read)
    return roles


def _read(face_id: UUID, person: str, camera: str | None, face: DetectedFace) -> ReadPhoto:
    photo = LabelledPhoto(Path(str(face_id)), person, camera, is_unknown=False)
    return ReadPhoto(photo, (face,), None, str(face_id))


def _face(
    embedding: Embedding, *, box: Box = _NO_BOX, score: float = 1.0, quality: float = 1.0
) -> DetectedFace:
    return DetectedFace(
        box=box,
        landmarks=_NO_LANDMARKS,
        score=score,
        quality=quality,
        embedding=embedding.astype("<f4").tobytes(),
        crop=b"",
    )
