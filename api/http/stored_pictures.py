"""Crops and snapshots as responses; a stored picture never changes, so its key names it."""

from typing import Any

from fastapi import Request, Response

from api.http.entity_tags import TAGGED, entity_tag, is_among
from api.http.problems import ApiProblem
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected

#: A person may be erased: a browser asks again after a minute.
_CACHE = "private, max-age=60"


def picture_responses(description: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the responses."""
    return {
        200: {"content": {"image/jpeg": {}}, "description": description, **TAGGED},
        304: {"description": "The picture that If-None-Match names", **TAGGED},
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
    tag = entity_tag(key)
    headers = {"Cache-Control": _CACHE, "ETag": tag}
    if is_among(tag, ",".join(request.headers.getlist("if-none-match"))):
        return Response(status_code=304, headers=headers)
    try:
        picture = await crops.get(key)
    except StoreRejected:
        raise missing from None
    return Response(picture, media_type="image/jpeg", headers=headers)
