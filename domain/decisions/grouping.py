"""Which unknown was it? Pure functions of similarities and embeddings.

The unit is a visit that has ended, not a face. Each is compared with the templates of the known
unknowns, and joins the best one or begins another.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt

from domain.decisions.matching import Candidate
from domain.events import NAMESPACE
from domain.store_rows import Embedding
from domain.visit_events import Visit, VisitReason, VisitState

#: A template is made of at most so many visits: the most different ones show a person from all
#: sides, and what is done for a visit does not grow with the visits before it.
MOST_EXEMPLARS = 20

#: Of a visit, so many faces are used, the best ones.
MOST_FACES = 20

#: Where no threshold is set, a visit has to be as much more like its unknown than a match has to be
#: like a user. Measured for SFace, whose matches need 0.45 (docs/unknowns.md).
ABOVE_A_MATCH = 0.05

#: Why a visit was given to its unknown.
GroupingReason = Literal["joined", "below_threshold", "ambiguous", "no_other"]


@dataclass(frozen=True, slots=True)
class GroupingPolicy:
    """When a visit is of an unknown who was seen before.

    Attributes:
        threshold: the least cosine of the visit and the template.
        margin: the least lead over the runner-up.
        min_faces: visits with fewer faces are not grouped.
        min_quality: faces of less quality are not used, 0 to 1.
    """

    threshold: float
    margin: float
    min_faces: int
    min_quality: float


@dataclass(frozen=True, slots=True)
class VisitEvidence:
    """A face of a visit, with its embedding.

    Attributes:
        face_id: the face.
        quality: fitness for recognition, 0 to 1.
        embedding: float32 (D,), length 1.
    """

    face_id: UUID
    quality: float
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Assignment:
    """The unknown of a visit.

    Attributes:
        unknown_id: whose visit it is.
        similarity: of the visit and the best unknown that it may belong to; None without any.
        reason: ``joined``, or why it begins another unknown.
    """

    unknown_id: UUID
    similarity: float | None
    reason: GroupingReason

    @property
    def begins(self) -> bool:
        """Whether the visit is the first of its unknown."""
        return self.reason != "joined"


@dataclass(frozen=True, slots=True, eq=False)
class Exemplar:
    """A visit that an unknown's template is made of: its embedding is float32 (D,), length 1."""

    visit_id: UUID
    embedding: Embedding


def least_cosine(set_to: float | None, match: float) -> float:
    """The threshold of unknowns by a model.

    Args:
        set_to: what the settings say for every model; None: nothing.
        match: the least cosine of a match by this model.
    """
    return min(1.0, match + ABOVE_A_MATCH) if set_to is None else set_to


def first_unknown_id(visit_id: UUID) -> UUID:
    """The identifier of the unknown that begins with this visit."""
    return uuid5(NAMESPACE, f"unknown|{visit_id}")


def may_be_grouped(visit: Visit, policy: GroupingPolicy) -> bool:
    """Whether a visit is over, an unknown's, long enough, and not of a picture of a person."""
    return (
        is_of_an_unknown(visit)
        and visit.faces >= policy.min_faces
        and (visit.liveness is None or visit.liveness.status != "spoof")
    )


def is_of_an_unknown(visit: Visit) -> bool:
    """Whether a visit is over, has faces, and has no user."""
    return (
        visit.state is VisitState.ENDED
        and visit.user_id is None
        and visit.reason != VisitReason.MERGED
    )


def visit_embedding(faces: Iterable[VisitEvidence], policy: GroupingPolicy) -> Embedding | None:
    """The mean of a visit's best faces, weighted by quality.

    Args:
        faces: those with an embedding that says who it is.
        policy: the least quality.

    Returns:
        float32 (D,) of length 1; None where no face is good enough.
    """
    good = [one for one in faces if one.quality >= policy.min_quality and one.quality > 0]
    best = sorted(good, key=lambda one: (-one.quality, one.face_id))[:MOST_FACES]
    if not best:
        return None
    weights = np.array([one.quality for one in best], np.float64)
    mean = np.average([one.embedding for one in best], axis=0, weights=weights)
    return _unit(mean)


def assign(
    visit_id: UUID,
    best: Iterable[Candidate],
    apart: Collection[UUID],
    policy: GroupingPolicy,
) -> Assignment:
    """Decide which unknown a visit is of.

    It joins the best one if the similarity is high enough and leads the runner-up by the margin,
    else it begins another. Unknowns from whom it is apart are not asked: two faces of one frame
    are two people.

    Args:
        visit_id: the visit; names the unknown that it may begin.
        best: unknowns and the cosine of each one's template: at least the best two of those from
            whom the visit is not apart, if there are two, in any order.
        apart: unknowns of whom it cannot be.
        policy: threshold and margin.
    """
    asked = [one for one in best if one.user_id not in apart]
    asked.sort(key=lambda one: (-one.similarity, one.user_id))
    own = first_unknown_id(visit_id)
    if not asked:
        return Assignment(own, None, "no_other")
    first = asked[0].similarity
    if first < policy.threshold:
        return Assignment(own, first, "below_threshold")
    if len(asked) > 1 and first - asked[1].similarity < policy.margin:
        return Assignment(own, first, "ambiguous")
    return Assignment(asked[0].user_id, first, "joined")


def kept_exemplars(exemplars: Sequence[Exemplar], limit: int = MOST_EXEMPLARS) -> list[Exemplar]:
    """The most different exemplars: again and again, one of the two most alike is left out.

    Of these two it is the one that is more like its next; of equal ones, that with the greater id.

    Args:
        exemplars: of different visits, in any order.
        limit: at most so many are kept.
    """
    kept = sorted(exemplars, key=lambda one: one.visit_id)
    while len(kept) > limit:
        rows = np.stack([one.embedding for one in kept])
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -np.inf)
        pair = np.unravel_index(int(np.argmax(likeness)), likeness.shape)
        nearest = np.sort(likeness, axis=1)[:, ::-1][:, :2]
        one, other = (int(place) for place in sorted(pair))
        kept.pop(one if nearest[one, 1] > nearest[other, 1] else other)
    return kept


def template_of(exemplars: Sequence[Exemplar]) -> Embedding | None:
    """The template of an unknown: the mean of its exemplars, float32 (D,) of length 1.

    None without any exemplar, and where they cancel each other out.
    """
    if not exemplars:
        return None
    ordered = sorted(exemplars, key=lambda one: one.visit_id)
    return _unit(np.sum([one.embedding for one in ordered], axis=0, dtype=np.float64))


def _unit(vector: npt.NDArray[np.floating]) -> Embedding | None:
    length = float(np.linalg.norm(vector))
    return None if length == 0.0 else np.asarray(vector / length, np.float32)
