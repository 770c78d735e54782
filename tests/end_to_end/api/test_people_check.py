"""Mistakes among the enrolled photos, on the API and on the command line."""

import json

import pytest

from tests.end_to_end import photos
from tests.end_to_end.api.conftest import USERS

CHECK = "/api/v1/people/check"


@pytest.fixture
async def mistaken(http, new_user, enrol):
    """One person under two names, with one photo twice, and one photo of someone else."""
    users = [await new_user("Ada Lovelace"), await new_user("Ada King")]
    faces = []
    for user, shown in zip(
        users,
        [
            (photos.astronaut(), photos.astronaut_of_width(512), photos.carphone(1)[0]),
            (photos.astronaut(),),
        ],
        strict=True,
    ):
        answer = await enrol(user, *shown)
        assert answer.status_code == 201, answer.text
        faces.append([one["face"]["id"] for one in answer.json()["uploads"]])
    yield users, faces
    for user in users:
        await http.delete(f"{USERS}/{user}")


def of(users, findings):
    """The findings about these users alone: other tests have people in the gallery, too."""
    return [
        one
        for one in findings
        if {one["user"]["id"], one.get("other_user", one["user"])["id"]} <= set(users)
    ]


async def test_each_kind_of_mistake_is_found(http, mistaken):
    users, (faces, _) = mistaken
    answer = await http.get(CHECK, params={"limit": 1000})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    (alike,) = of(users, found["alike"])
    assert {alike["user"]["full_name"], alike["other_user"]["full_name"]} == {
        "Ada Lovelace",
        "Ada King",
    }
    assert alike["similarity"] > 0.7
    (same,) = of(users, found["near_duplicates"])
    assert {same["face_id"], same["other_face_id"]} == set(faces[:2])
    (outlier,) = of(users, found["outliers"])
    assert (outlier["face_id"], outlier["user"]["full_name"]) == (faces[2], "Ada Lovelace")
    assert outlier["similarity"] < 0.3
    assert (found["users"] >= 2, found["photos"] >= 4) == (True, True)


async def test_a_deactivated_user_is_not_compared(http, mistaken):
    users, _ = mistaken
    await http.patch(f"{USERS}/{users[0]}", json={"is_active": False})
    found = (await http.get(CHECK, params={"limit": 1000})).json()
    assert [of(users, found[kind]) for kind in ("alike", "near_duplicates", "outliers")] == [
        [],
        [],
        [],
    ]


async def test_the_command_lists_them_and_fails(fecapass, mistaken):
    _, (faces, _) = mistaken
    code, output, errors = await fecapass("people", "check", "--json", "--limit", "1000")
    assert code == 1
    assert "pair(s) of users are alike" in errors
    assert faces[2] in output
    found = json.loads(output)
    assert any(one["face_id"] == faces[2] for one in found["outliers"])
    code, output, errors = await fecapass("people", "check", "--limit", "1000")
    assert code == 1
    assert "Ada King" in output
