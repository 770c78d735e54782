"""A search decided anew, by the caller's threshold and among those who are there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from streams.answers import RankedCandidate

Decision = Literal["matched", "below_threshold", "ambiguous", "empty_gallery"]


@dataclass(frozen=True, slots=True)
class Decided:
    """Who a face is (None when unknown), and why."""

    user_id: UUID | None
    reason: Decision


def decide_again(candidates: Sequence[RankedCandidate], threshold: float, margin: float) -> Decided:
    """Decide as the identify agent does (`ml.decision.decide`), which the API cannot import.

    A test holds the two together.

    Args:
        candidates: best first.
        threshold: the least similarity.
        margin: the least lead over the next.
    """
    if not candidates:
        return Decided(None, "empty_gallery")
    best, *others = candidates
    if best.similarity < threshold:
        return Decided(None, "below_threshold")
    if others:
        lead = best.similarity - others[0].similarity
        if lead < margin or lead == 0.0:
            return Decided(None, "ambiguous")
    return Decided(best.user_id, "matched")
