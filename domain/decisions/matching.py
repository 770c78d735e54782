"""Who is it? Pure functions of similarities."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

#: What can decide about a face; later releases may know more.
Reason = Literal["matched", "below_threshold", "ambiguous", "empty_gallery", "unreliable"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled user and the cosine of the user's template and the probe."""

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
        reason: what decided; None where nothing was compared, as with an enrolled face.
    """

    user_id: UUID | None
    similarity: float | None
    runner_up_similarity: float | None
    reason: str | None


def decide(
    candidates: Iterable[Candidate], policy: MatchPolicy, *, reliable: bool = True
) -> Decision:
    """Decide who a face is.

    The best candidate matches if the similarity is high enough and leads the runner-up by the
    margin. Two people who are both close to a probe are relatives, or one person enrolled twice,
    and a guess between them could open the door for the wrong one. The embedding of a face that the
    embedder was not trained for resembles those of other such faces, also of other people: it
    decides nothing.

    Args:
        candidates: the best ones of the gallery, at least two where it has two, in any order.
        policy: threshold and margin.
        reliable: whether the embedding of the probe says who it is (`ml.recognition.face_quality`).
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


def decide_without(
    erased: Collection[UUID],
    candidates: Sequence[Candidate],
    policy: MatchPolicy,
    *,
    reliable: bool = True,
) -> tuple[Decision, bool]:
    """Decide who a face is, where the gallery still has users who were erased.

    A face that is an erased user's is an unknown's: the next best candidate, who lost to that user
    by the margin, is not named instead.

    Args:
        erased: users who do not exist any more; no decision names them.
        candidates: as for `decide`.
        policy: threshold and margin.
        reliable: as for `decide`.

    Returns:
        The decision, with the similarities of those who are left; and whether the face was taken
        for an erased user.
    """
    decision = decide(candidates, policy, reliable=reliable)
    left = [one for one in candidates if one.user_id not in erased]
    if len(left) == len(candidates):
        return decision, False
    scores = decide(left, policy, reliable=reliable)
    if decision.user_id not in erased:
        return replace(scores, user_id=decision.user_id, reason=decision.reason), False
    reason: Reason = "below_threshold" if left else "empty_gallery"
    return replace(scores, user_id=None, reason=reason), True
