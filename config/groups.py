"""What all groups of settings share: their base, and the types of their values."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

#: The type of the error that `inconsistent` makes.
INCONSISTENT = "inconsistent"


class Group(BaseModel):
    """A group of settings; unknown names are refused so that a typing error is found at start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def inconsistent(explanation: str) -> PydanticCustomError:
    """The error for settings that are right one by one and wrong together.

    Args:
        explanation: one line without any value; a field of the group stands in it in braces, one
            of a group below with dots, as in ``{tls.ca_file}``, and is shown as its variable.
    """
    # As a value, since pydantic would fill the braces of a message itself.
    return PydanticCustomError(INCONSISTENT, "{explanation}", {"explanation": explanation})
