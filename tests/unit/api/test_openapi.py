"""The committed OpenAPI document is the code's."""

import json

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


def test_requests_and_responses_have_the_agreed_names_and_examples():
    schemas = json.loads(render())["components"]["schemas"]
    for name in (
        "FaceUploadRequest",
        "FaceUploadResponse",
        "FaceSearchRequest",
        "FaceSearchResponse",
        "UserCreateRequest",
        "UserUpdateRequest",
        "UserResponse",
        "Problem",
    ):
        assert schemas[name].get("examples"), name
    assert "FaceSearchResult" in schemas
