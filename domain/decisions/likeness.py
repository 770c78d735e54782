"""Does a photo fit the templates that are there? A pure decision, before a template changes.

A photo of another person among a user's photos makes the template match two people; one person
under two users is matched with neither, because both are alike. Both are mistakes of labels, which
the quality of a photo does not show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.decisions.matching import Candidate
from domain.events import Refusal

LOOKS_LIKE_ANOTHER_USER: Final = "looks_like_another_user"
UNLIKE_OWN_PHOTOS: Final = "unlike_own_photos"

#: Refusals that a caller overrules with ``force``.
OVERRULED_BY_FORCE: Final = frozenset({LOOKS_LIKE_ANOTHER_USER, UNLIKE_OWN_PHOTOS})


@dataclass(frozen=True, slots=True)
class LikenessPolicy:
    """How alike is too alike, and what is too unlike.

    Attributes:
        another: from this cosine on, a photo resembles the template of another user.
        own: below this cosine, it does not resemble the user's own template.
    """

    another: float
    own: float


@dataclass(frozen=True, slots=True)
class Unlikely:
    """Why a photo does not fit.

    Attributes:
        refusal: for the caller.
        similarity: the cosine that decided.
        another: the other user whom it resembles; None: it is unlike the user's own photos.
    """

    refusal: Refusal
    similarity: float
    another: Candidate | None = None


def unlikely(
    own: float | None, others: Sequence[Candidate], policy: LikenessPolicy
) -> Unlikely | None:
    """Whether a photo is probably not of this user; None if it may be enrolled.

    Another user counts who is closer than its own user. Where the own template is closest, the two
    are distinguished already, as twins are of whom one was enrolled with ``force``.

    Args:
        own: cosine of the photo and the user's own template; None: there is none yet.
        others: other users and the cosines of their templates, in any order.
        policy: the limits.
    """
    best = max(others, key=lambda one: one.similarity, default=None)
    if (
        best is not None
        and best.similarity >= policy.another
        and (own is None or best.similarity > own)
    ):
        message = (
            f"the face resembles another user (similarity {best.similarity:.2f}); check whose "
            "photo it is, or enrol it with force"
        )
        measures = {"similarity": best.similarity} | ({} if own is None else {"own": own})
        return Unlikely(
            Refusal(code=LOOKS_LIKE_ANOTHER_USER, message=message, measures=measures),
            best.similarity,
            best,
        )
    if own is not None and own < policy.own:
        message = (
            f"the face does not resemble the photos of this user (similarity {own:.2f}); check "
            "whose photo it is, or enrol it with force"
        )
        refusal = Refusal(code=UNLIKE_OWN_PHOTOS, message=message, measures={"similarity": own})
        return Unlikely(refusal, own)
    return None
