"""Entity tags (RFC 9110, 8.8.3): which state of a resource a client has, and may change."""

import hashlib
from typing import Annotated, Any

from fastapi import Header

from api.http.problems import ApiProblem

#: What OpenAPI says of a response with a tag.
TAGGED: dict[str, Any] = {
    "headers": {"ETag": {"description": "names this state of it", "schema": {"type": "string"}}}
}

#: The header with which a change is made only if nothing has changed.
IfMatch = Annotated[
    str | None,
    Header(description="an ETag: change it only if it is as it was then; else 412"),
]


def entity_tag(state: str) -> str:
    """The tag of a state; the same state has the same tag.

    Args:
        state: what changes whenever the resource does.
    """
    return f'"{hashlib.blake2b(state.encode(), digest_size=12).hexdigest()}"'


def is_among(tag: str, header: str) -> bool:
    """Whether If-None-Match names a tag; weak ones count, as it has them compared."""
    return tag in {one.strip().removeprefix("W/") for one in header.split(",")}


def require_match(tag: str, if_match: str | None) -> None:
    """Refuse a change of a state that is not the client's.

    Args:
        tag: of the state now.
        if_match: the header; weak tags match nothing. None: the client wants any state.

    Raises:
        ApiProblem: ``changed_meanwhile``.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if tag not in {one.strip() for one in if_match.split(",")}:
        raise ApiProblem(412, "changed_meanwhile", "it was changed in the meantime: read it again")
