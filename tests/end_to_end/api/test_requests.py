"""What is wrong with a request is said in a sentence; what would be ignored is refused."""

import json
from uuid import uuid4

import httpx
import pytest

from infra.openapi import render
from tests.end_to_end.api.conftest import USERS, assert_problem, bearer, new_key, running_app

VISITS = "/api/v1/visits"

OPERATIONS = [
    (method, path)
    for path, operations in json.loads(render())["paths"].items()
    for method in operations
    if path.startswith("/api/")
]


def named(path):
    """A path with an id in the place of each parameter."""
    for name in ("user_id", "face_id", "upload_id", "visit_id", "unknown_id", "correction_id"):
        path = path.replace(f"{{{name}}}", str(uuid4()))
    assert "{" not in path
    return path


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_parameter_that_an_operation_does_not_have_is_refused(http, method, path):
    answer = await http.request(method, named(path), params={"nonsense": "1"})
    body = assert_problem(answer, 422, "invalid_request")
    assert [one["field"] for one in body["errors"]] == ["query.nonsense"]
    assert "there is no such parameter; known are: " in body["detail"]


async def test_without_a_key_that_is_the_answer(gateway):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert_problem(await client.get(VISITS, params={"nonsense": "1"}), 401, "key_missing")


async def test_a_refused_parameter_counts_as_a_request(prepared):
    headers = bearer(await new_key(prepared, "read"))
    async with running_app(prepared, requests_per_minute=3) as client:
        for _ in range(3):
            answer = await client.get(VISITS, params={"nonsense": "1"}, headers=headers)
            assert_problem(answer, 422, "invalid_request")
        answer = await client.get(VISITS, params={"nonsense": "1"}, headers=headers)
        assert_problem(answer, 429, "too_many_requests")


async def test_a_misspelt_parameter_is_answered_with_the_one_that_was_meant(http):
    body = assert_problem(await http.get(VISITS, params={"cameraid": "x"}), 422, "invalid_request")
    assert body["detail"].endswith("did you mean camera_id?")


async def test_a_parameter_that_is_given_twice_is_refused(http):
    answer = await http.get(VISITS, params=[("camera_id", "a"), ("camera_id", "b")])
    body = assert_problem(answer, 422, "invalid_request")
    assert body["detail"] == "query.camera_id: given more than once"


async def test_known_parameters_are_taken_by_head_as_by_get(http):
    for method in ("GET", "HEAD"):
        assert (await http.request(method, USERS, params={"limit": 1})).status_code == 200
        assert (await http.request(method, USERS, params={"limits": 1})).status_code == 422


async def test_probes_of_health_may_have_parameters_of_their_own(http):
    assert (await http.get("/health/live", params={"probe": "kubelet"})).status_code == 200


@pytest.mark.parametrize("offset", ["+02:00", "+0200"])
@pytest.mark.parametrize("name", ["since", "until"])
async def test_a_plus_that_has_become_a_space_is_explained(http, name, offset):
    answer = await http.get(f"{VISITS}?{name}=2026-11-23T09:00:00{offset}")
    body = assert_problem(answer, 422, "invalid_request")
    assert body["detail"].startswith(
        f"query.{name}: a + in an address means a space: write it as %2B"
    )
    offset = offset.replace("+", "%2B")
    assert (await http.get(f"{VISITS}?{name}=2026-11-23T09:00:00{offset}")).status_code == 200


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("nonsense", "body: this is not JSON: Expecting value, at character 0"),
        ('{"email": }', "body: this is not JSON: Expecting value, at character 10"),
    ],
)
async def test_a_body_that_is_not_json_is_answered_in_words(http, text, detail):
    headers = {"Content-Type": "application/json"}
    body = assert_problem(
        await http.post(USERS, content=text, headers=headers), 422, "invalid_request"
    )
    assert body["detail"] == detail
    assert body["errors"] == [{"field": "body", "message": detail.removeprefix("body: ")}]


async def test_a_rule_that_is_broken_is_named_without_the_words_of_a_library(http):
    body = assert_problem(await http.post(USERS, json={}), 422, "invalid_request")
    assert "Value error" not in body["detail"]


async def test_people_are_found_by_words_in_any_order(http):
    mark = uuid4().hex[:12]
    made = await http.post(
        USERS, json={"full_name": f"Zoë {mark} Müller", "email": f"zm@{mark}.example"}
    )
    user = made.json()["id"]
    for words in (
        f"müller {mark}",
        f"{mark}   zoe\u0308",  # the letter in two code points
        f"zm@ Mül {mark[3:]}",
    ):
        found = (await http.get(USERS, params={"q": words})).json()["items"]
        assert [one["id"] for one in found] == [user], words
    assert (await http.get(USERS, params={"q": f"{mark} Meier"})).json()["items"] == []
