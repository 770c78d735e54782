"""Who is it? Pure functions of similarities."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np

from domain.arrays import FloatArray

#: Of a cosine of two float32 unit vectors.
_ROUNDING = 1e-5

#: The same between two faces, whose angle is wanted; of 512 dimensions or fewer.
_CLOSENESS_ROUNDING = 1e-6

#: What can decide about a face; later releases may know more.
Reason = Literal["matched", "below_threshold", "ambiguous", "empty_gallery", "unreliable"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled person and the cosine of his template and the probe."""

    user_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """When the best candidate is the person.

    Attributes:
        threshold: the least cosine.
        margin: the least lead over the runner-up.
    """

    threshold: float
    margin: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Who it is, and why.

    Attributes:
        user_id: the person; None when unknown.
        similarity: of the best candidate; None when the gallery is empty.
        runner_up_similarity: of the best candidate but one; None when there is none.
        reason: what decided.
    """

    user_id: UUID | None
    similarity: float | None
    runner_up_similarity: float | None
    reason: Reason


def decide(
    candidates: Iterable[Candidate], policy: MatchPolicy, *, reliable: bool = True
) -> Decision:
    """Decide who a face is.

    The best candidate is the person if he is similar enough and leads the runner-up by the
    margin: two people both close to a probe are relatives, or one person enrolled twice, and
    guessing between them opens the door to the wrong one. The embedding of a face that the embedder
    was not trained for resembles those of other such faces, whoever they are: it decides nothing.

    Args:
        candidates: the best ones of the gallery, at least two where it has two, in any order.
        policy: threshold and margin.
        reliable: whether the embedding of the probe says who it is (`ml.recognition.quality`).
    """
    best, runner_up = None, None
    for candidate in candidates:
        if best is None or candidate.similarity > best.similarity:
            best, runner_up = candidate, best
        elif runner_up is None or candidate.similarity > runner_up.similarity:
            runner_up = candidate
    second = runner_up.similarity if runner_up else None
    if not reliable:
        return Decision(None, best.similarity if best else None, second, "unreliable")
    if best is None:
        return Decision(None, None, None, "empty_gallery")
    if best.similarity < policy.threshold:
        return Decision(None, best.similarity, second, "below_threshold")
    lead = policy.margin if second is None else best.similarity - second
    if lead < policy.margin or best.similarity == second:
        return Decision(None, best.similarity, second, "ambiguous")
    return Decision(best.user_id, best.similarity, second, "matched")


def rival_bound(rival: float | None, closeness: float) -> float:
    """How similar to a probe anybody else can be at most, from what is known of a face like it.

    On the unit sphere angles obey the triangle inequality: who is at least the angle a from the
    earlier face, which is the angle b from the probe, is at least a - b from the probe.

    Args:
        rival: nobody else was more similar to the earlier face than this; None when there was
            nobody else.
        closeness: cosine of the earlier face and the probe.

    Returns:
        A cosine; -1 when there is nobody else.
    """
    if rival is None:
        return -1.0
    # Near 1 an error of the cosine is one of its root in the angle: take the larger angle.
    angle = math.acos(_cosine(rival)) - math.acos(_cosine(closeness - _CLOSENESS_ROUNDING))
    return min(1.0, math.cos(max(0.0, angle)) + _ROUNDING)


def _cosine(value: float) -> float:
    return max(-1.0, min(1.0, value))


def same_face(probe: FloatArray, seen: FloatArray, threshold: float) -> bool:
    """Was this face just seen? Then what was decided about it still holds.

    Args:
        probe: float32 (D,) of length 1.
        seen: float32 (D,) of length 1, of the same model, from the same camera seconds ago.
        threshold: the least cosine, stricter than for a match
            (`ml.runtime.registry.SAME_FACE`).
    """
    return bool(np.dot(probe, seen) >= threshold)
