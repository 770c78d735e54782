"""The committed OpenAPI document is the code's."""

import json
import re

from jsonschema_rs import Draft202012Validator

from infra.openapi import DOCUMENT, render

FAILURE = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_the_committed_document_is_what_the_code_says():
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run `make openapi` and commit it"


def test_every_failure_behind_a_key_is_a_problem_document():
    for path, operations in json.loads(render())["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400" and path.startswith("/api/"):
                    assert response["content"] == FAILURE, (path, status)


def test_headers_that_callers_need_are_named():
    paths = json.loads(render())["paths"]
    for operations in paths.values():
        for operation in operations.values():
            assert all("X-Request-ID" in one["headers"] for one in operation["responses"].values())
    enrol = paths["/api/v1/faces"]["post"]["responses"]
    assert {"Location", "Retry-After", "Preference-Applied"} <= enrol["202"]["headers"].keys()
    assert "Location" in enrol["201"]["headers"]
    assert "Retry-After" in enrol["503"]["headers"]


def test_every_schema_has_examples_that_fit_it():
    document = json.loads(render())
    for name, schema in document["components"]["schemas"].items():
        if all("examples" in one for one in schema["properties"].values()):
            continue
        assert schema.get("examples"), name
        validator = Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})
        for example in schema["examples"]:
            validator.validate(example)


def test_requests_and_responses_have_the_agreed_names():
    schemas = json.loads(render())["components"]["schemas"]
    for name in (
        "FaceUploadRequest",
        "FaceUploadResponse",
        "FaceSearchRequest",
        "FaceSearchResult",
        "FaceSearchResponse",
        "UserCreateRequest",
        "UserUpdateRequest",
        "UserResponse",
        "Problem",
    ):
        assert name in schemas


def operations():
    for path, found in json.loads(render())["paths"].items():
        yield from ((path, operation) for operation in found.values())


def test_operations_have_names_that_clients_can_be_generated_with():
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
    assert {"listUsers", "listVisits", "listUnknowns", "enrolFace", "readHealth"} <= {*names}
    for name in names:
        assert re.fullmatch(r"(create|list|read|update|delete|[a-z]+)([A-Z][a-z]+)+", name), name


def test_every_group_of_operations_is_described():
    document = json.loads(render())
    described = {one["name"] for one in document["tags"] if one["description"]}
    assert described == {tag for _, operation in operations() for tag in operation["tags"]}


def test_moments_have_the_format_of_a_time():
    schemas = json.loads(render())["components"]["schemas"]
    for name, schema in schemas.items():
        for field, part in schema["properties"].items():
            if field.endswith("_at"):
                kinds = [one for one in part.get("anyOf", [part]) if one["type"] != "null"]
                assert [one.get("format") for one in kinds] == ["date-time"], (name, field)


def test_answers_may_grow_and_requests_are_taken_to_the_letter():
    schemas = json.loads(render())["components"]["schemas"]
    for name, schema in schemas.items():
        forbids = schema.get("additionalProperties") is False
        assert forbids == name.endswith("Request"), name


def test_what_may_be_null_in_a_change_is_what_can_be_taken_away():
    fields = json.loads(render())["components"]["schemas"]["UserUpdateRequest"]["properties"]
    nullable = {name for name, one in fields.items() if {"type": "null"} in one.get("anyOf", ())}
    assert nullable == {"email", "full_name", "external_id"}
