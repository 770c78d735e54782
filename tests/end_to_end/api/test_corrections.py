"""Corrections over HTTP, and by command."""

import json
import subprocess
import sys
from uuid import uuid4

import httpx
import pytest

from tests.contract.builders import an_event
from tests.contract.stored_people import the_result
from tests.end_to_end.api.conftest import (
    CORRECTIONS,
    FACES,
    assert_problem,
    bearer,
    new_key,
)
from tests.stored_records import commit_results, stored_user


@pytest.fixture
async def client(gateway, prepared):
    headers = bearer(await new_key(prepared, "enrol", "read"))
    async with httpx.AsyncClient(base_url=gateway.address, headers=headers) as opened:
        yield opened


async def a_face(records):
    user = (await stored_user(records, f"{uuid4().hex}@example.org")).id
    result = the_result(an_event(), "corrected-over-http", user_id=user)
    await commit_results(records, [result])
    return user, result.faces[0].match.face_id


async def test_a_correction_is_made_listed_and_undone(client, records):
    user, face = await a_face(records)
    body = {"kind": "not_user", "user_id": str(user), "face_id": str(face)}
    made = await client.post(CORRECTIONS, json=body)
    assert made.status_code == 201, made.text
    one = made.json()
    assert made.headers["Location"].endswith(f"{CORRECTIONS}/{one['id']}")
    assert (one["kind"], one["can_be_undone"], one["enrolment_url"]) == ("not_user", True, None)
    seen = (await client.get(f"{FACES}/{face}")).json()
    assert (seen["user_id"], seen["decision"]) == (None, "vetoed")
    listed = (await client.get(CORRECTIONS, params={"user_id": str(user), "limit": 1})).json()
    assert [item["id"] for item in listed["items"]] == [one["id"]]
    undone = await client.post(f"{CORRECTIONS}/{one['id']}/undo")
    assert (undone.status_code, undone.json()["undoes"]) == (201, one["id"])
    assert (await client.get(f"{FACES}/{face}")).json()["user_id"] == str(user)
    again = (await client.get(f"{CORRECTIONS}/{one['id']}")).json()
    assert (again["undone_by"], again["can_be_undone"]) == (undone.json()["id"], False)
    assert_problem(await client.post(f"{CORRECTIONS}/{one['id']}/undo"), 409, "already_undone")


async def test_a_face_without_a_crop_is_corrected_and_not_enrolled(client, records):
    user, face = await a_face(records)
    body = {"kind": "is_user", "user_id": str(user), "face_id": str(face), "enrol": True}
    made = (await client.post(CORRECTIONS, json=body)).json()
    assert (made["enrolment_url"], made["enrolment_problem"]) == (None, "crop_not_found")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "not_user"},
        {"kind": "not_user", "face_id": str(uuid4()), "visit_id": str(uuid4())},
        {"kind": "merge"},
        {"kind": "merge", "other_user_id": str(uuid4()), "face_id": str(uuid4())},
        {"kind": "split", "other_user_id": str(uuid4())},
        {"kind": "photo_out", "face_id": str(uuid4()), "enrol": True},
        {"kind": "undo", "face_id": str(uuid4())},
    ],
    ids=["no-face", "both", "no-other", "too-much", "no-photos", "enrol", "undo"],
)
async def test_members_that_do_not_fit_are_refused(client, fields):
    body = {"user_id": str(uuid4()), **fields}
    assert_problem(await client.post(CORRECTIONS, json=body), 422, "invalid_request")


async def test_what_is_not_there_is_not_found(client, records):
    user, face = await a_face(records)
    for body in (
        {"kind": "not_user", "user_id": str(user), "face_id": str(uuid4())},
        {"kind": "not_user", "user_id": str(uuid4()), "face_id": str(face)},
        {"kind": "merge", "user_id": str(user), "other_user_id": str(uuid4())},
    ):
        answer = await client.post(CORRECTIONS, json=body)
        assert answer.status_code == 404, answer.text
    for path in (f"{CORRECTIONS}/{uuid4()}/undo",):
        assert_problem(await client.post(path), 404, "correction_not_found")
    assert_problem(await client.get(f"{CORRECTIONS}/{uuid4()}"), 404, "correction_not_found")
    same = {"kind": "merge", "user_id": str(user), "other_user_id": str(user)}
    assert_problem(await client.post(CORRECTIONS, json=same), 409, "same_user")


def fecapass(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "correct", *arguments],
        env={**environment, "PATH": "", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_the_same_by_command(records, environment):
    user, face = await a_face(records)
    email = (await records.user(user)).email
    made = fecapass(environment, "not", email, "--face", str(face), "--json")
    assert made.returncode == 0, made.stderr
    one = json.loads(made.stdout)
    listed = fecapass(environment, "list", "--user", email, "--json")
    assert [item["id"] for item in json.loads(listed.stdout)] == [one["id"]]
    shown = fecapass(environment, "list", "--user", email)
    assert str(face) in shown.stdout
    assert fecapass(environment, "undo", one["id"]).returncode == 0
    again = fecapass(environment, "undo", one["id"])
    assert again.returncode == 1
    assert again.stderr == "fecapass: this correction was undone before\n"
    assert fecapass(environment, "not", email).returncode == 2
    assert "no user" in fecapass(environment, "merge", email, "x@example.org").stderr
