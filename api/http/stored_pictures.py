"""Crops and snapshots as responses; a stored picture never changes, so its key names it."""

import hashlib
from typing import Any

from fastapi import Request, Response

from api.http.problems import ApiProblem
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected

#: A person may be erased: a browser asks again after a minute.
_CACHE = "private, max-age=60"


def picture_responses(description: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the responses."""
    tag = {"ETag": {"description": "names the picture", "schema": {"type": "string"}}}
    return {
        200: {"content": {"image/jpeg": {}}, "description": description, "headers": tag},
        304: {"description": "The picture that If-None-Match names", "headers": tag},
        404: {},
    }


async def picture_response(
    request: Request, crops: Crops, key: str | None, missing: ApiProblem
) -> Response:
    """The picture; without it, if the client has it already.

    Args:
        request: its If-None-Match names the pictures that the client has.
        crops: where pictures are.
        key: of the picture; None: there is none.
        missing: raised where there is no such picture.

    Raises:
        ApiProblem: ``missing``.
        StoreUnavailable: the store is.
    """
    if key is None:
        raise missing
    tag = f'"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"'
    headers = {"Cache-Control": _CACHE, "ETag": tag}
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    if tag in {one.strip().removeprefix("W/") for one in known}:
        return Response(status_code=304, headers=headers)
    try:
        picture = await crops.get(key)
    except StoreRejected:
        raise missing from None
    return Response(picture, media_type="image/jpeg", headers=headers)
