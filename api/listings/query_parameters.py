"""Query parameters that an operation does not have: a misspelt filter would filter nothing."""

from collections.abc import Collection
from difflib import get_close_matches

from fastapi import Request

from api.auth.authorization import CallerDep
from api.http.problems import ApiProblem


async def require_known_parameters(request: Request, _caller: CallerDep) -> None:
    """Refuse a request with a parameter that its operation does not have, or with one twice.

    Only of a caller with a key: without one, and above the limit of requests, that is the answer.

    Raises:
        ApiProblem: ``invalid_request``.
    """
    given = [name for name, _ in request.query_params.multi_items()]
    if not given:
        return
    known = _parameters(request)
    for name in given:
        if name not in known:
            raise _invalid(name, _unknown(name, known))
        if given.count(name) > 1:
            raise _invalid(name, "given more than once")


def _parameters(request: Request) -> Collection[str]:
    """The query parameters of the request's operation, as the OpenAPI document has them."""
    operations = request.app.openapi()["paths"][request.scope["route"].path_format]
    operation = operations[request.method.lower()]
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]


def _unknown(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"there is no such parameter; did you mean {near[0]}?"
    return f"there is no such parameter; known are: {', '.join(known) or 'none'}"


def _invalid(name: str, message: str) -> ApiProblem:
    field = f"query.{name[:100]}"
    return ApiProblem(
        422,
        "invalid_request",
        f"{field}: {message}",
        errors=[{"field": field, "message": message}],
    )
