"""The committed OpenAPI document is the code's."""

import json

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
