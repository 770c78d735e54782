"""The embedding of a visit: whose person it shows, from what cameras saw of its faces."""

from collections import Counter
from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from config.settings import UnknownSettings
from domain.decisions.grouping import (
    GroupingPolicy,
    VisitEvidence,
    least_cosine,
    visit_embedding,
)
from domain.decisions.matching import MatchPolicy
from domain.store_rows import Embedding
from sinks.main.unknowns.unknown_store import UnknownStore

#: Faces of a visit that are looked at, the best ones by quality: some may have no embedding.
_LOOKED_AT = 60


class Sightings(Protocol):
    """Where the embeddings of faces are: `sinks.vector.sighting_store.SightingStore`."""

    async def sightings_by_id(
        self, model: str, face_ids: Collection[UUID]
    ) -> dict[UUID, Embedding]:
        """The embeddings of faces that were seen, of those that are there."""


def grouping_policy(settings: UnknownSettings, match: MatchPolicy) -> GroupingPolicy:
    """The rules by which visits are grouped.

    Args:
        settings: of unknowns.
        match: when similarities of the model are a match.
    """
    return GroupingPolicy(
        threshold=least_cosine(settings.threshold, match.threshold),
        margin=settings.margin,
        min_faces=settings.min_faces,
        min_quality=settings.min_quality,
    )


async def embedding_of(
    unknowns: UnknownStore, sightings: Sightings, visit_id: UUID, policy: GroupingPolicy
) -> tuple[str, Embedding] | None:
    """A visit's embedding, with its model; None where its faces do not say who it is.

    If its faces have several models, the one with most faces counts.

    Args:
        unknowns: the faces of visits.
        sightings: the embeddings of faces.
        visit_id: the visit.
        policy: the least quality.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    faces = await unknowns.evidence(visit_id, policy.min_quality, _LOOKED_AT)
    if not faces:
        return None
    counted = Counter(face.model for face in faces)
    model = min(counted, key=lambda name: (-counted[name], name))
    quality = {face.face_id: face.quality for face in faces if face.model == model}
    found = await sightings.sightings_by_id(model, quality.keys())
    evidence = [
        VisitEvidence(face_id, quality[face_id], vector) for face_id, vector in found.items()
    ]
    mean = visit_embedding(evidence, policy)
    return None if mean is None else (model, mean)
