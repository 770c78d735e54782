"""The OpenAPI document, with what FastAPI cannot know by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.http.problems import MEDIA_TYPE
from api.http.request_context import origin, prefix
from api.schemas.common import Problem
from api.schemas.faces import FaceSearchRequest, FaceUploadRequest

_DESCRIPTION = """
Enrol people, search by photo, and read who was where, from when to when.

Failures are problem documents (RFC 9457) with a stable `code` and the id of the request.
"""

_TAGS = {
    "users": "People who may be recognised, and their photos.",
    "search": "Who is on a photo, and where else a face was seen.",
    "faces": "Enrolment of photos, and single faces.",
    "uploads": "What became of photos that were sent in.",
    "matches": "Each face that a camera saw, and who it is.",
    "visits": "Who was at a camera, from when to when, and who is there now.",
    "cameras": "Cameras that have sent pictures.",
    "unknowns": "People who are not enrolled and come back.",
    "corrections": "What a person has said about who is who, with undo.",
    "service": "The state of the service and of the workers.",
}

_OPEN_PATHS = ("/health", "/metrics")
_FIRST_FAILURE = 400
_TEMPLATE = "#/components/schemas/{model}"

#: What any request behind a key may be answered with.
_EVERYWHERE = {
    "401": "No key, or one that is unknown or revoked",
    "403": "The key lacks the scope",
    "422": "Malformed, or refused",
    "429": "Too many requests with this key",
    "503": "A server that this needs does not answer",
}
_MEANINGS = {
    "400": "The body cannot be read",
    "404": "There is none",
    "408": "The photos did not arrive in time",
    "409": "It does not fit what is there",
    "412": "Changed in the meantime",
    "413": "Larger than is taken",
    "415": "Not a form with photos",
    "500": "The pipeline gave the upload up",
}

_LATER = "seconds after which another attempt makes sense"
#: Headers by status, in addition to the one that every response has.
_HEADERS = {
    "201": {"Location": "where the new resource is", "Preference-Applied": "what was granted"},
    "202": {
        "Location": "where the answer will be",
        "Preference-Applied": "what was granted",
        "Retry-After": _LATER,
    },
    "401": {"WWW-Authenticate": "always Bearer"},
    "429": {"Retry-After": _LATER},
    "503": {"Retry-After": _LATER},
}
_EVERY_RESPONSE = {"X-Request-ID": "the request's id, as in the log and in problem documents"}


def operation_id(route: APIRoute) -> str:
    """The name of an operation in clients that are generated: ``listUsers`` for ``list_users``."""
    first, *others = route.name.split("_")
    return first + "".join(word.title() for word in others)


def add_document(app: FastAPI) -> None:
    """Serve the document, with the address at which the caller found this service."""

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> dict[str, Any]:
        server = origin.get() + prefix.get()
        return app.openapi() | ({"servers": [{"url": server}]} if server else {})


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Fecapass",
            version=app.version,
            openapi_version="3.1.0",
            description=_DESCRIPTION.strip(),
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _, more = models_json_schema(
            [(model, "validation") for model in (Problem, FaceUploadRequest, FaceSearchRequest)],
            ref_template=_TEMPLATE,
        )
        schemas.update(more["$defs"])
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for model in _described(BaseModel):
            if model.__name__ in schemas:
                _restore_examples(schemas[model.__name__], model)
        for name, schema in schemas.items():
            # Later releases may add to what is answered; requests are checked to the letter.
            if not name.endswith("Request"):
                schema.pop("additionalProperties", None)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _described(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every model of the interface."""
    for model in base.__subclasses__():
        if model.__module__.startswith("api.schemas."):
            yield model
        yield from _described(model)


def _restore_examples(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """The framework drops what is null, which makes examples that lack what is required."""
    extra = model.model_config.get("json_schema_extra")
    if isinstance(extra, dict) and "examples" in extra:
        schema["examples"] = extra["examples"]


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Every failure is a problem document, except the report of what is unhealthy."""
    responses = operation["responses"]
    if path.startswith(_OPEN_PATHS):
        responses.pop("422", None)
        _name_headers(responses, {})
        return
    for status, meaning in _EVERYWHERE.items():
        responses.setdefault(status, {})["description"] = meaning
    for status, response in responses.items():
        if int(status) >= _FIRST_FAILURE:
            response["description"] = _MEANINGS.get(status, _EVERYWHERE.get(status, "Refused"))
            reference = {"$ref": _TEMPLATE.format(model=Problem.__name__)}
            response["content"] = {MEDIA_TYPE: {"schema": reference}}
    _name_headers(responses, _HEADERS)


def _name_headers(
    responses: dict[str, dict[str, Any]], by_status: Mapping[str, Mapping[str, str]]
) -> None:
    for status, response in responses.items():
        response["headers"] = response.get("headers", {}) | {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in {**by_status.get(status, {}), **_EVERY_RESPONSE}.items()
        }
