"""Filters of listings and streams, as parameters of a request."""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from api.http.problems import ApiProblem
from api.schemas.common import PLAIN_TEXT

CameraFilter = Annotated[
    str | None, Query(max_length=512, pattern=PLAIN_TEXT, description="only of this camera")
]

UserFilter = Annotated[UUID | None, Query(description="only of this user")]

KnownFilter = Annotated[bool | None, Query(description="only known, or only unknown people")]


def _rfc3339(text: object) -> object:
    """Pydantic also takes numbers, which the document does not allow."""
    if isinstance(text, str):
        if not _DATE.match(text):
            raise ValueError("wanted an RFC 3339 time, such as 2026-11-23T09:00:00Z")
        if _SPACE_FOR_PLUS.search(text):
            raise ValueError(
                "a + in an address means a space: write it as %2B, or give the time in UTC, such "
                "as 2026-11-23T09:00:00Z"
            )
    return text


TimeFilter = Annotated[AwareDatetime | None, BeforeValidator(_rfc3339)]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]")
_SPACE_FOR_PLUS = re.compile(r" \d{2}:?\d{2}$")


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC.

    Raises:
        ApiProblem: ``invalid_request``: it is outside the calendar in UTC.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ApiProblem(422, "invalid_request", "the time is outside the calendar") from error


def require_order(since: datetime | None, until: datetime | None) -> None:
    """Refuse a period that ends before it begins.

    Raises:
        ApiProblem: ``invalid_request``.
    """
    if since is not None and until is not None and since > until:
        raise ApiProblem(
            422,
            "invalid_request",
            f"since ({since.isoformat()}) is after until ({until.isoformat()}): "
            "no time is between them",
        )
