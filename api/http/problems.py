"""Failures as problem documents (RFC 9457) with a stable code and the request's id."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import compile_path

from config.observability.request_id import request_id
from domain.failures import Reject, Retry
from domain.user_errors import EmailTakenError, ExternalIdTakenError, UnnamedUserError
from domain.users.user_metadata import BadMetadataError
from sinks.store_errors import StoreUnavailable
from streams.clients.image_producer import PublishError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: The end of the path of a stream, which does not support HEAD.
STREAM = "/stream"

_RETRY_AFTER = "2"

#: What is refused of a user, by what the service raises.
_USER_PROBLEMS: dict[type[Exception], tuple[int, str]] = {
    EmailTakenError: (409, "email_taken"),
    ExternalIdTakenError: (409, "external_id_taken"),
    UnnamedUserError: (422, "unnamed_user"),
    BadMetadataError: (422, "invalid_request"),
}

#: Codes of what the framework itself refuses.
_FRAMEWORK_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


class ApiProblem(HTTPException):
    """A request that is not granted.

    Attributes:
        code: stable, for programs.
        extra: further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.extra = extra


def upload_failed(reason: str | None, detail: str | None, **extra: Any) -> ApiProblem:
    """An upload that became a dead letter although no fault was found in the photo.

    Args:
        reason: of its dead letter.
        detail: for people.
        extra: further members of the problem document.
    """
    detail = detail or "the upload could not be processed"
    return ApiProblem(500, "upload_failed", detail, reason=reason, **extra)


def problem_document(status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """The members of a problem document; empty extras are left out."""
    document = {
        "type": f"urn:fecapass:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id.get(),
    }
    return document | {name: value for name, value in extra.items() if value is not None}


def problem_response(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """A response whose body is a problem document; a refusal is logged with the request's id."""
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.info("request %s is refused: %d %s", request_id.get(), status, code)
    return JSONResponse(
        problem_document(status, code, detail, **extra),
        status,
        dict(headers) if headers else None,
        MEDIA_TYPE,
    )


def invalid(errors: Sequence[Mapping[str, Any]], *, place: str | None = None) -> ApiProblem:
    """The problem with a request that does not fit its schema; inputs are not repeated.

    Args:
        errors: as pydantic gives them.
        place: where the fields were, if the errors do not say so.
    """
    fields = [_field_error(error, place) for error in errors]
    summary = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return ApiProblem(422, "invalid_request", summary or "the request is malformed", errors=fields)


def _field_error(error: Mapping[str, Any], place: str | None) -> dict[str, str]:
    """Which part of a request is wrong, and how, for people."""
    path = [*((place,) if place else ()), *error["loc"]]
    if error["type"] == "json_invalid":
        # Its place is a position in the text, and its message says no more than that it is wrong.
        *path, position = path
        message = f"this is not JSON: {error['ctx']['error']}, at character {position}"
    else:
        message = str(error["msg"]).removeprefix("Value error, ")
    return {"field": ".".join(str(part) for part in path), "message": message}


def _methods(app: FastAPI, path: str) -> list[str]:
    """The methods that are served at a path."""
    paths = app.openapi()["paths"]
    # What is named whole is not also an instance of a template: "search" is no face's id.
    templates = [path] if path in paths else paths
    return sorted(
        method.upper()
        for template in templates
        if compile_path(template)[0].match(path)
        for method in paths[template]
    )


def install(app: FastAPI) -> None:
    """Answer every failure of the app with a problem document."""

    async def api_problem(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiProblem)  # noqa: S101 - registered for it alone
        detail = str(error.detail)
        return problem_response(error.status_code, error.code, detail, error.headers, **error.extra)

    async def framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for it alone
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names only the methods of the first route with this path.
            allowed = _methods(app, request.url.path)
            if "GET" in allowed and not request.url.path.endswith(STREAM):
                allowed = sorted([*allowed, "HEAD"])
            error.headers = {"Allow": ", ".join(allowed)} if allowed else error.headers
        code = _FRAMEWORK_CODES.get(error.status_code, "request_refused")
        return problem_response(error.status_code, code, str(error.detail), error.headers)

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101 - as above
        return await api_problem(request, invalid(error.errors()))

    async def unavailable(_request: Request, error: Exception) -> JSONResponse:
        logger.warning("request %s cannot be served: %s", request_id.get(), error)
        # A photo that goes by claim check may fail at its store.
        is_broker = isinstance(error, PublishError) and not isinstance(
            error.__cause__, Retry | Reject
        )
        code = "broker_unavailable" if is_broker else "store_unavailable"
        what = "the broker" if is_broker else "a store"
        return problem_response(
            503,
            code,
            f"{what} that this needs does not answer; try again",
            {"Retry-After": _RETRY_AFTER},
        )

    async def user_problem(_request: Request, error: Exception) -> JSONResponse:
        status, code = _USER_PROBLEMS[type(error)]
        return problem_response(status, code, str(error))

    app.add_exception_handler(ApiProblem, api_problem)
    for refused in _USER_PROBLEMS:
        app.add_exception_handler(refused, user_problem)
    app.add_exception_handler(StarletteHTTPException, framework)
    app.add_exception_handler(RequestValidationError, validation)
    for away in (StoreUnavailable, Retry, PublishError, DBAPIError, PoolTimeout, OSError):
        app.add_exception_handler(away, unavailable)
