"""The result of presentation attack detection for a face, as it is sent and stored.

The terms are those of ISO/IEC 30107: a bona fide presentation is a person, an attack presentation
is a picture of one, printed or on a screen.
"""

from enum import StrEnum

import msgspec


class LivenessStatus(StrEnum):
    """What is known about whether a person was there; later releases may know more."""

    #: The model takes it for a person.
    LIVE = "live"
    #: The model takes it for a picture of a person, or a visit showed a still picture.
    SPOOF = "spoof"
    #: The model was not asked: the face is at the border of the picture, too small or too dark.
    INPUT_REJECTED = "input_rejected"
    #: The model was not asked, because the face was followed from an earlier frame.
    NOT_RUN = "not_run"


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """The result for a face, or for a visit.

    Attributes:
        model: id of the model; None where it did not run.
        score: the model's probability of a person, 0 to 1; None where it did not run.
        status: what is known, by model and visit.
    """

    model: str | None = None
    score: float | None = None
    status: str


#: Of a face that was followed from an earlier frame.
NOT_RUN = Liveness(status=LivenessStatus.NOT_RUN)

#: Of a face whose picture is of no use to the model.
INPUT_REJECTED = Liveness(status=LivenessStatus.INPUT_REJECTED)
