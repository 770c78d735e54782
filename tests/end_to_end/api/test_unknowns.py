"""Unknown people who come back: listed, shown, given a name, put aside."""

from uuid import uuid4

import pytest
import pytest_asyncio

from config.settings import Settings
from sinks.main.database_sessions import Databases
from sinks.main.schema import Face
from sinks.main.unknowns.unknown_schema import UnknownProposalRow, UnknownRow
from sinks.main.visit_schema import VisitRow
from tests.contract.builders import unique
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import UNKNOWNS, USERS, VISITS, assert_problem
from tests.end_to_end.planted_visits import NOON, a_visit, plant, plant_faces, plant_unknown

CORRECTIONS = "/api/v1/corrections"


@pytest_asyncio.fixture
async def databases(prepared: Settings):
    async with Databases(prepared) as opened:
        yield opened


@pytest.fixture
def camera() -> str:
    return unique("yard")


async def came_back(databases, camera, visits=2, minutes=0.0, **fields):
    """An unknown with so many visits; the id, and the visits."""
    planted = [a_visit(camera, minutes=minutes + 10 * number) for number in range(visits)]
    await plant(databases, planted)
    return await plant_unknown(databases, planted, **fields), planted


async def listed(http, camera, **params):
    answer = await http.get(UNKNOWNS, params={"camera_id": camera} | params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_unknown_is_listed_from_its_second_visit_on(http, databases, camera):
    once, _ = await came_back(databases, camera, 1)
    twice, _ = await came_back(databases, camera, 2, minutes=60)
    (only,) = (await listed(http, camera))["items"]
    assert only == {
        "unknown_id": str(twice),
        "state": "open",
        "user_id": None,
        "visits": 2,
        "first_seen_at": "2026-11-23T13:00:00Z",
        "last_seen_at": "2026-11-23T13:11:30Z",
        "cameras": [camera],
        "best_face_id": None,
        "crop_url": None,
    }
    every = (await listed(http, camera, min_visits=1))["items"]
    assert [one["unknown_id"] for one in every] == [str(twice), str(once)]
    assert (await listed(http, camera, since="2026-11-23T14:00:00Z"))["items"] == []


async def test_pages_are_walked_and_none_is_missed(http, databases, camera):
    planted = {str((await came_back(databases, camera, 2))[0]) for _ in range(5)}
    found, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = await listed(http, camera, limit=2, **more)
        found += [one["unknown_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == 5
    assert set(found) == planted


async def test_its_visits_name_it_and_its_best_faces_are_shown(http, databases, records, camera):
    unknown, visits = await came_back(databases, camera, 2)
    faces = [(await plant_faces(databases, records, visit, 2))[0] for visit in visits]
    async with databases.main.begin() as session:
        for visit, face in zip(visits, faces, strict=True):
            (await session.get(VisitRow, visit.visit_id)).best_face_id = face
        (await session.get(Face, faces[1])).quality = 0.9
    answer = await http.get(f"{UNKNOWNS}/{unknown}")
    assert answer.status_code == 200, answer.text
    assert [one["face_id"] for one in answer.json()["faces"]] == [str(faces[1]), str(faces[0])]
    assert answer.json()["best_face_id"] == str(faces[1])
    items = (await http.get(VISITS, params={"unknown_id": str(unknown)})).json()["items"]
    assert [one["visit_id"] for one in items] == [str(one.visit_id) for one in reversed(visits)]
    assert {one["unknown_id"] for one in items} == {str(unknown)}


async def test_one_that_was_merged_leads_to_the_one_that_is_left(http, databases, camera):
    left, _ = await came_back(databases, camera, 2)
    merged = uuid4()
    async with databases.main.begin() as session:
        session.add(
            UnknownRow(
                id=merged, model="contract", state="merged", merged_into=left,
                first_seen_at=NOON, last_seen_at=NOON,
            )
        )  # fmt: skip
    answer = await http.get(f"{UNKNOWNS}/{merged}")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{UNKNOWNS}/{left}"
    dismissed = await http.post(f"{UNKNOWNS}/{merged}/dismiss")
    assert dismissed.json()["unknown_id"] == str(left)


async def test_one_that_is_dismissed_is_listed_no_more(http, databases, camera):
    unknown, _ = await came_back(databases, camera, 3)
    for _ in range(2):
        answer = await http.post(f"{UNKNOWNS}/{unknown}/dismiss")
        assert (answer.status_code, answer.json()["state"]) == (200, "dismissed")
    assert (await listed(http, camera))["items"] == []
    (only,) = (await listed(http, camera, state="dismissed"))["items"]
    assert only["unknown_id"] == str(unknown)


@pytest.mark.parametrize("action", ["", "/dismiss", "/promote"])
async def test_there_is_no_unknown_without_a_row(http, action):
    path = f"{UNKNOWNS}/{uuid4()}{action}"
    body = {"email": f"{uuid4().hex}@example.com"}
    answer = await (http.post(path, json=body) if action else http.get(path))
    assert_problem(answer, 404, "unknown_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "a@example.com", "user_id": str(uuid4())},
        {"user_id": str(uuid4()), "full_name": "Ada"},
    ],
    ids=["nothing", "both", "name of a user"],
)
async def test_a_promotion_names_one_user(http, databases, camera, body):
    unknown, _ = await came_back(databases, camera)
    answer = await http.post(f"{UNKNOWNS}/{unknown}/promote", json=body)
    assert_problem(answer, 422, "invalid_request")


async def test_a_promotion_names_visits_and_faces_and_enrols_the_best(
    http, databases, records, crops, camera
):
    unknown, visits = await came_back(databases, camera, 2)
    pictures = [photos.astronaut(), photos.nobody()]
    planted = []
    for visit, picture in zip(visits, pictures, strict=True):
        faces = await plant_faces(databases, records, visit, 2)
        planted += faces
        key = f"crops/{uuid4()}.jpg"
        await crops.put(key, picture)
        async with databases.main.begin() as session:
            (await session.get(VisitRow, visit.visit_id)).best_face_id = faces[0]
            (await session.get(Face, faces[0])).crop_key = key
    email = f"{uuid4().hex}@example.com"
    answer = await http.post(
        f"{UNKNOWNS}/{unknown}/promote", json={"email": email, "full_name": "Eileen"}
    )
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["visits"], done["faces"], done["refusal"]) == (2, 4, None)
    assert sorted(one["status"] for one in done["enrolment"]["uploads"]) == ["enrolled", "refused"]
    user = (await http.get(f"{USERS}/{done['user_id']}")).json()
    assert (user["email"], user["full_name"], user["photos"]) == (email, "Eileen", 1)
    items = (await http.get(VISITS, params={"user_id": done["user_id"]})).json()["items"]
    assert {one["visit_id"] for one in items} == {str(one.visit_id) for one in visits}
    assert {one["unknown_id"] for one in items} == {None}
    async with databases.main() as session:
        faces = [await session.get(Face, face) for face in planted]
        assert {str(face.user_id) for face in faces} == {done["user_id"]}
        row = await session.get(UnknownRow, unknown)
        assert (row.state, row.templates_due) == ("promoted", False)
    assert (await listed(http, camera))["items"] == []

    for body in ({"user_id": done["user_id"]}, {"email": email, "full_name": "Eileen"}):
        again = await http.post(f"{UNKNOWNS}/{unknown}/promote", json=body)
        assert (again.status_code, again.json()["visits"]) == (200, 0)
        assert again.json()["user_id"] == done["user_id"]
    other = await http.post(
        f"{UNKNOWNS}/{unknown}/promote", json={"email": f"{uuid4().hex}@example.com"}
    )
    assert_problem(other, 409, "unknown_is_user")
    assert_problem(await http.post(f"{UNKNOWNS}/{unknown}/dismiss"), 409, "unknown_is_user")

    erased = await http.delete(f"{USERS}/{done['user_id']}")
    assert erased.status_code == 204
    assert_problem(await http.get(f"{UNKNOWNS}/{unknown}"), 404, "unknown_not_found")


async def test_a_promotion_is_what_was_said_last(http, databases, camera, new_user):
    taken_for, really = await new_user("Grace Hopper"), await new_user("Ada Lovelace")
    visits = [a_visit(camera, taken_for), a_visit(camera, minutes=10)]
    await plant(databases, visits)
    said = {"kind": "not_user", "user_id": str(taken_for), "visit_id": str(visits[0].visit_id)}
    made = await http.post("/api/v1/corrections", json=said)
    assert made.status_code == 201, made.text
    unknown = await plant_unknown(databases, visits)
    done = await http.post(f"{UNKNOWNS}/{unknown}/promote", json={"user_id": str(really)})
    assert (done.status_code, done.json()["visits"]) == (200, 2)
    undone = await http.post(f"/api/v1/corrections/{made.json()['id']}/undo")
    assert undone.status_code == 201, undone.text
    items = (await http.get(VISITS, params={"user_id": str(really)})).json()["items"]
    assert {one["visit_id"] for one in items} == {str(one.visit_id) for one in visits}


async def undone(http, correction):
    answer = await http.post(f"{CORRECTIONS}/{correction}/undo")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{CORRECTIONS}/{answer.json()['id']}"
    return answer.json()


async def test_a_promotion_is_undone_with_the_photo_that_it_enrolled(
    http, databases, records, crops, camera, new_user
):
    unknown, visits = await came_back(databases, camera, 2)
    faces = await plant_faces(databases, records, visits[0], 1)
    key = f"crops/{uuid4()}.jpg"
    await crops.put(key, photos.astronaut())
    async with databases.main.begin() as session:
        (await session.get(VisitRow, visits[0].visit_id)).best_face_id = faces[0]
        (await session.get(Face, faces[0])).crop_key = key
    done = (
        await http.post(f"{UNKNOWNS}/{unknown}/promote", json={"full_name": "Eileen Collins"})
    ).json()
    user, correction = done["user_id"], done["correction_id"]
    assert [one["status"] for one in done["enrolment"]["uploads"]] == ["enrolled"]
    made = (await http.get(f"{CORRECTIONS}/{correction}")).json()
    assert (made["kind"], made["unknown_id"], made["user_id"], made["made_user"]) == (
        "promote", str(unknown), user, True,
    )  # fmt: skip
    assert made["can_be_undone"]
    again = await http.post(f"{UNKNOWNS}/{unknown}/promote", json={"user_id": user})
    assert again.json()["correction_id"] == correction

    undo = await undone(http, correction)
    assert (undo["kind"], undo["undoes"], undo["unknown_id"]) == ("undo", correction, str(unknown))
    (only,) = (await listed(http, camera))["items"]
    assert (only["unknown_id"], only["state"], only["user_id"]) == (str(unknown), "open", None)
    assert (await http.get(VISITS, params={"user_id": user})).json()["items"] == []
    items = (await http.get(VISITS, params={"unknown_id": str(unknown)})).json()["items"]
    assert {one["unknown_id"] for one in items} == {str(unknown)}
    left = (await http.get(f"{USERS}/{user}")).json()
    assert (left["full_name"], left["photos"], left["is_active"]) == ("Eileen Collins", 0, True)
    assert_problem(await http.post(f"{CORRECTIONS}/{correction}/undo"), 409, "already_undone")

    # The same name again, with the same photo.
    second = await http.post(f"{UNKNOWNS}/{unknown}/promote", json={"user_id": user})
    assert second.json()["visits"] == 2
    assert (await http.get(f"{USERS}/{user}")).json()["photos"] == 1


async def test_a_dismissal_is_undone(http, databases, camera):
    unknown, _ = await came_back(databases, camera)
    dismissed = (await http.post(f"{UNKNOWNS}/{unknown}/dismiss")).json()
    assert (await listed(http, camera))["items"] == []
    undo = await undone(http, dismissed["correction_id"])
    assert (undo["user_id"], undo["unknown_id"]) == (None, str(unknown))
    assert len((await listed(http, camera))["items"]) == 1
    items = (await http.get(CORRECTIONS, params={"limit": 2})).json()["items"]
    assert [one["kind"] for one in items] == ["undo", "dismiss"]


async def test_an_unknown_that_is_gone_is_not_brought_back(http, databases, camera):
    unknown, _ = await came_back(databases, camera)
    dismissed = (await http.post(f"{UNKNOWNS}/{unknown}/dismiss")).json()
    async with databases.main.begin() as session:
        await session.delete(await session.get(UnknownRow, unknown))
    answer = await http.post(f"{CORRECTIONS}/{dismissed['correction_id']}/undo")
    assert_problem(answer, 404, "unknown_not_found")


async def test_without_a_picture_the_user_is_made_and_the_answer_says_so(http, databases, camera):
    unknown, _ = await came_back(databases, camera)
    answer = await http.post(
        f"{UNKNOWNS}/{unknown}/promote", json={"email": f"{uuid4().hex}@example.com"}
    )
    assert (answer.status_code, answer.json()["refusal"]) == (200, "no_face")
    assert answer.json()["visits"] == 2


async def test_there_is_no_user_to_become(http, databases, camera):
    unknown, _ = await came_back(databases, camera)
    answer = await http.post(f"{UNKNOWNS}/{unknown}/promote", json={"user_id": str(uuid4())})
    assert_problem(answer, 404, "user_not_found")
    assert len((await listed(http, camera))["items"]) == 1


async def test_two_are_joined_and_one_is_parted(http, databases, camera):
    one, visits = await came_back(databases, camera, 3)
    other, _ = await came_back(databases, camera, 2, minutes=60)
    joined = await http.post(f"{UNKNOWNS}/{other}/join", json={"other_id": str(one)})
    assert (joined.status_code, joined.json()["unknown_id"]) == (200, str(one))
    assert joined.json()["visits"] == 5
    moved = [str(visit.visit_id) for visit in visits[:2]]
    parted = await http.post(f"{UNKNOWNS}/{one}/part", json={"visit_ids": moved})
    assert (parted.status_code, parted.json()["visits"]) == (200, 2)
    items = (await listed(http, camera))["items"]
    assert {one["unknown_id"]: one["visits"] for one in items} == {
        str(one): 3,
        parted.json()["unknown_id"]: 2,
    }
    for action, body in (("join", {"other_id": str(other)}), ("part", {"visit_ids": moved})):
        assert_problem(
            await http.post(f"{UNKNOWNS}/{one}/{action}", json=body), 409, "cannot_regroup"
        )


async def test_what_the_consolidation_asks_is_listed(http, databases, camera):
    one, _ = await came_back(databases, camera)
    other, _ = await came_back(databases, camera)
    async with databases.main.begin() as session:
        session.add(
            UnknownProposalRow(unknown_id=one, other_id=other, kind="merge", similarity=0.99)
        )
    items = (await http.get(f"{UNKNOWNS}/proposals")).json()["items"]
    (asked,) = [item for item in items if item["unknown_id"] == str(one)]
    assert (asked["kind"], asked["other_id"], asked["similarity"]) == ("merge", str(other), 0.99)
