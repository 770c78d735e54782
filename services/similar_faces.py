"""Where else a face was seen: the sightings most like it, exactly, within a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.events import MatchKind
from domain.store_rows import Embedding, SimilarSighting
from domain.users.face_errors import NoEmbeddingError, NoSuchFaceError, ProbeInactiveError
from sinks.cache.recent_matches import Recents
from sinks.main.schema import Face, User
from sinks.vector.vector_store import Vectors


@dataclass(frozen=True, slots=True)
class Probe:
    """A face that is looked for.

    Attributes:
        model: id of the embedder; sightings of others do not compare.
        embedding: float32, shape (dimension,), length 1.
        without: faces that are no answer: itself.
    """

    model: str
    embedding: Embedding
    without: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class SimilarFace:
    """A face that a camera saw, and the cosine of its embedding and the probe."""

    face: Face
    similarity: float


async def find_probe(
    session: AsyncSession, vectors: Vectors, recents: Recents, face_id: UUID, model: str | None
) -> Probe:
    """The embedding of a stored face, seen or enrolled, or of a photo that was just searched.

    Of a face that was followed from an earlier frame it is that of the best face of its track.

    Args:
        session: on the main database; nothing is read with it afterwards.
        vectors: the embeddings.
        recents: the faces of searches for sightings.
        face_id: the face.
        model: id of the embedder in force, preferred; the one that found the face counts where that
            one has not embedded it.

    Raises:
        NoSuchFaceError: there is no face with this id, or its search was too long ago.
        ProbeInactiveError: it is an enrolled photo of a deactivated user.
        NoEmbeddingError: its embedding was deleted.
        StoreUnavailable: the vector database is unavailable, or Redis, where it is asked.
    """
    face = await session.get(Face, face_id)
    if face is None:
        await session.rollback()
        cached = await recents.probe(face_id)
        if cached is None:
            raise NoSuchFaceError
        return Probe(cached.model, np.frombuffer(cached.embedding, "<f4"), [])
    if face.kind == MatchKind.ENROLLED and face.user_id is not None:
        is_active = await session.scalar(select(User.is_active).where(User.id == face.user_id))
        if not is_active:
            raise ProbeInactiveError
    source, own_model = face.best_face_id or face.id, face.model
    await session.rollback()  # the search takes a while
    embeddings = await vectors.embeddings_of(source)
    chosen = model if model in embeddings else own_model
    if chosen is None or chosen not in embeddings:
        raise NoEmbeddingError
    return Probe(chosen, embeddings[chosen], [source])


async def similar_sightings(
    vectors: Vectors,
    probe: Probe,
    limit: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[SimilarSighting]:
    """The sightings most like a probe, best first; see `Vectors.similar_sightings`.

    Raises:
        StoreUnavailable: the vector database is unavailable.
    """
    return await vectors.similar_sightings(
        probe.embedding, probe.model, limit, since=since, until=until, without=probe.without
    )


async def faces_of(session: AsyncSession, found: Sequence[SimilarSighting]) -> list[SimilarFace]:
    """The rows of sightings, in their order; one without a row is no face, or no more."""
    rows = await session.scalars(select(Face).where(Face.id.in_([one.face_id for one in found])))
    faces = {face.id: face for face in rows.unique()}
    return [
        SimilarFace(faces[one.face_id], one.similarity) for one in found if one.face_id in faces
    ]
