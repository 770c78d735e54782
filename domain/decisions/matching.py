"""Who is it? Pure functions of similarities."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self
from uuid import UUID

from domain.decisions.gallery_threshold import ImpostorTail

#: What can decide about a face; later releases may know more.
Reason = Literal[
    "matched",
    "below_threshold",
    "ambiguous",
    "empty_gallery",
    "unreliable",
    "vetoed",
    "spoof_suspected",
]

#: The decision about a picture of a person, at a camera whose gate refuses it.
SPOOF_SUSPECTED: Reason = "spoof_suspected"


#: Cosines of float32 vectors that differ by less are the same.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled user and the cosine of the user's template and the probe.

    Attributes:
        user_id: the user.
        similarity: the cosine.
        veto: the cosine of the probe and the closest face of which a person has said that it is not
            this user; None where there is no such face.
    """

    user_id: UUID
    similarity: float
    veto: float | None = None

    @property
    def is_vetoed(self) -> bool:
        """Whether the probe is as close to a face that is not the user's as to the template."""
        return self.veto is not None and self.veto >= self.similarity - _ROUNDING


@dataclass(frozen=True, slots=True)
class WantedFpir:
    """How many unknown people may be taken for someone, whatever the size of the gallery.

    Attributes:
        share: of their probes, more than 0, less than 1.
        tail: how high impostors score.
    """

    share: float
    tail: ImpostorTail


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """When the best candidate is the person.

    Attributes:
        threshold: the least cosine.
        margin: the least lead over the runner-up.
        wanted: raises the threshold of a large gallery; None: one threshold for all.
    """

    threshold: float
    margin: float
    wanted: WantedFpir | None = None

    def in_gallery(self, size: int) -> Self:
        """The policy for a gallery: its threshold is this one, or the higher one that it needs.

        Args:
            size: number of templates.
        """
        if self.wanted is None:
            return self
        needed = self.wanted.tail.threshold(self.wanted.share, size)
        return replace(self, threshold=max(self.threshold, needed), wanted=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who it is, and why.

    Attributes:
        user_id: the person; None when unknown.
        similarity: of the best candidate; None when the gallery is empty.
        runner_up_similarity: of the best candidate but one; None when there is none.
        reason: what decided; None where nothing was compared, as with an enrolled face.
        candidate_id: of an unknown face, the best candidate, whose similarity it is; None of a
            person's, and when the gallery is empty.
        vetoed: the user who would be named if no person had vetoed it; None where that is not so.
    """

    user_id: UUID | None
    similarity: float | None
    runner_up_similarity: float | None
    reason: str | None
    candidate_id: UUID | None = None
    vetoed: UUID | None = None


def decide(
    candidates: Iterable[Candidate], policy: MatchPolicy, *, reliable: bool = True
) -> Decision:
    """Decide who a face is.

    The best candidate matches if the similarity is high enough and leads the runner-up by the
    margin. Two people who are both close to a probe are relatives, or one person enrolled twice,
    and a guess between them could open the door for the wrong one. The embedding of a face that the
    embedder was not trained for resembles those of other such faces, also of other people: it
    decides nothing. Where a person has said of a face that it is not this user, a probe that is as
    close to that face as to the user's template is an unknown's, and no other user is named.

    Args:
        candidates: the best ones of the gallery, at least two where it has two, in any order.
        policy: threshold and margin.
        reliable: whether the embedding of the probe says who it is (`ml.recognition.face_quality`).
    """
    # Of two with the same similarity, the one with the lower id: neither is a match.
    ranked = sorted(candidates, key=lambda one: (-one.similarity, one.user_id))
    if not ranked:
        return Decision(None, None, None, "empty_gallery" if reliable else "unreliable")
    best, second = ranked[0], ranked[1].similarity if len(ranked) > 1 else None
    unknown = partial(Decision, None, best.similarity, second, candidate_id=best.user_id)
    if not reliable:
        return unknown("unreliable")
    if best.similarity < policy.threshold:
        return unknown("below_threshold")
    lead = policy.margin if second is None else best.similarity - second
    if lead < policy.margin or best.similarity == second:
        return unknown("ambiguous")
    if best.is_vetoed:
        return unknown("vetoed", vetoed=best.user_id)
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
    by the margin, is not named instead, nor as a candidate.

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
        best = None if decision.user_id else scores.user_id or scores.candidate_id
        said = replace(scores, user_id=decision.user_id, reason=decision.reason)
        return replace(said, candidate_id=best, vetoed=decision.vetoed), False
    reason: Reason = "below_threshold" if left else "empty_gallery"
    return replace(scores, user_id=None, reason=reason, candidate_id=None, vetoed=None), True


def withheld(decision: Decision) -> Decision:
    """The decision about a face that the gate refuses: an unknown's, whichever user it resembles.

    A face that is unreliable is an unknown's already, and remains unreliable.
    """
    reason = decision.reason if decision.reason == "unreliable" else SPOOF_SUSPECTED
    best = decision.user_id or decision.candidate_id
    return replace(decision, user_id=None, reason=reason, candidate_id=best)
