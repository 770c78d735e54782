"""Which frames a further embedder sees before it serves, and how its answers compare. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple, Self
from uuid import UUID

_UUIDS = 1 << 128


def is_in_shadow(event: UUID, share: float) -> bool:
    """Whether the faces of a frame are embedded by all models; the same each time that it comes.

    Args:
        event: UUID of the frame's event: a hash, so that each is as likely as any other.
        share: of the frames, 0 to 1.
    """
    return event.int < share * _UUIDS


class Answers(NamedTuple):
    """Who a face is, by the model that serves and by another one.

    Attributes:
        decided: the user whom the model that serves has decided on; None: an unknown's.
        is_covered: whether this user has a template of the other model.
        best: the other model's best candidate; None where its gallery is empty.
        other: the user whom the other model would have decided on.
    """

    decided: UUID | None
    is_covered: bool
    best: UUID | None
    other: UUID | None


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """Faces of frames in shadow, counted; no user is named.

    Attributes:
        faces: that the model that serves has embedded, and that say who it is.
        embedded: of these, those that the other model has embedded, too.
        known: of these, those with a user, by the model that serves.
        covered: of the known ones, those whose user has a template of the other model.
        same_best: of the known ones, those whose user is the other model's best candidate.
        found: of the known ones, those of which the other model decides the same.
        confused: of the known ones, those that it takes for another user.
        taken: of those that are an unknown's, those that it takes for a user.
    """

    faces: int = 0
    embedded: int = 0
    known: int = 0
    covered: int = 0
    same_best: int = 0
    found: int = 0
    confused: int = 0
    taken: int = 0

    @classmethod
    def of(cls, answers: Answers | None) -> Self:
        """The count of one face; None: the other model has not embedded it."""
        if answers is None:
            return cls(faces=1)
        decided, is_covered, best, other = answers
        if decided is None:
            return cls(faces=1, embedded=1, taken=int(other is not None))
        return cls(
            faces=1,
            embedded=1,
            known=1,
            covered=int(is_covered),
            same_best=int(best == decided),
            found=int(other == decided),
            confused=int(other not in (None, decided)),
        )

    @classmethod
    def total(cls, counts: Iterable["ShadowCount"]) -> Self:
        """The sum of counts."""
        every = list(counts)
        return cls(**{one.name: sum(getattr(c, one.name) for c in every) for one in fields(cls)})
