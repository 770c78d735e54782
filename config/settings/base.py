"""What all groups of settings share: their base, and the types of their values."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

#: The name of an S3 bucket, or the ARN of an access point.
Bucket = Annotated[str, Field(pattern=r"^([a-zA-Z0-9.\-_]{1,255}|arn:[^\s]+)$")]


def _is_region(name: str) -> str:
    """Part of a host name."""
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,63}", name) or name.startswith("-") or name.endswith("-"):
        raise PydanticCustomError("region", "it is not a region: letters, digits and hyphens")
    return name


def _are_brokers(text: str) -> str:
    """One ``host:port`` or more; of several, an empty one is passed over."""
    brokers = [one.strip() for one in text.split(",") if one.strip()]
    if not brokers or not all(map(_is_broker, brokers)):
        raise PydanticCustomError("brokers", "it is not host:port, separated by commas")
    return ",".join(brokers)


def _is_broker(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return (
            bool(parts.hostname)
            and parts.netloc == text
            and parts.port != 0
            and not re.search(r"[@\s]", text)
        )
    except ValueError:
        return False


Region = Annotated[str, AfterValidator(_is_region)]
Brokers = Annotated[str, AfterValidator(_are_brokers)]

#: The type of the error that `inconsistent` makes.
INCONSISTENT = "inconsistent"


class Group(BaseModel):
    """A group of settings; unknown names are refused so that a typing error is found at start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def inconsistent(explanation: str) -> PydanticCustomError:
    """The error for settings that are right one by one and wrong together.

    Args:
        explanation: one line without any value; a field of the group is written in braces, one
            of a group below with dots, as in ``{tls.ca_file}``, and is shown as its variable.
    """
    # As a value, since pydantic would fill the braces of a message itself.
    return PydanticCustomError(INCONSISTENT, "{explanation}", {"explanation": explanation})
