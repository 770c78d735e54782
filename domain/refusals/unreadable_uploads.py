"""The answer to an upload that became a dead letter. Pure."""

from domain.events import Refusal
from domain.failures import GivenUp, Reject

#: A longer explanation is cut off.
MAX_MESSAGE_CHARACTERS = 2000

#: The dead letter has the details; they are about stores and code, not about the photo.
_GIVEN_UP = (
    "the photo could not be processed, and no fault was found in it; it is kept as a dead "
    "letter and can be replayed"
)


def refusal_of_dead_letter(reject: Reject) -> Refusal:
    """For a photo that is at fault: what is wrong with it; otherwise: that it was not processed."""
    if isinstance(reject, GivenUp):
        return given_up(reject.reason)
    return Refusal(code=reject.reason, message=str(reject)[:MAX_MESSAGE_CHARACTERS])


def given_up(reason: str) -> Refusal:
    """An upload that was put aside for this reason, and may be processed yet."""
    return Refusal(code=reason, message=_GIVEN_UP, given_up=True)
