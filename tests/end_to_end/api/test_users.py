"""Users over HTTP."""

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest

from tests.end_to_end import photos
from tests.end_to_end.api.conftest import USERS, assert_problem


async def test_a_user_is_made_read_changed_and_found(http):
    mark = uuid4().hex
    made = await http.post(
        USERS, json={"email": f"{mark}@Example.com", "full_name": "  Zoë   50%_Müller "}
    )
    assert made.status_code == 201
    user = made.json()
    assert user["full_name"] == "Zoë 50%_Müller"
    assert user["is_active"] is True
    assert made.headers["location"] == f"{USERS}/{user['id']}"

    read = (await http.get(made.headers["location"])).json()
    assert read == user | {"photos": 0, "last_seen_at": None, "last_camera_id": None}

    for q in (mark[:20], mark.upper()):
        found = (await http.get(USERS, params={"q": q})).json()
        assert [one["id"] for one in found["items"]] == [user["id"]]
    # The wildcards of LIKE are letters like others.
    found = (await http.get(USERS, params={"q": "50%_M", "limit": 200})).json()
    assert user["id"] in [one["id"] for one in found["items"]]
    assert (await http.get(USERS, params={"q": f"{mark[:5]}%{mark[10:20]}"})).json()["items"] == []

    changed = await http.patch(f"{USERS}/{user['id']}", json={"full_name": "Zoë Meier"})
    assert changed.json()["full_name"] == "Zoë Meier"
    assert changed.json()["email"] == user["email"]
    assert changed.json()["updated_at"] > user["updated_at"]


async def test_an_address_is_taken_whatever_its_case(http, new_user):
    email = f"{uuid4().hex}@example.com"
    assert (await http.post(USERS, json={"email": email})).status_code == 201
    assert_problem(await http.post(USERS, json={"email": email.upper()}), 409, "email_taken")
    other = await new_user()
    answer = await http.patch(f"{USERS}/{other}", json={"email": email})
    assert_problem(answer, 409, "email_taken")


async def test_a_listing_goes_on_at_its_cursor_without_gaps_or_repetitions(http):
    mark = uuid4().hex
    made = []
    for number in range(7):
        answer = await http.post(USERS, json={"email": f"{number}@{mark}.example"})
        made.append(answer.json()["id"])
    seen, cursor, pages = [], None, 0
    while True:
        params = {"q": mark, "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(USERS, params=params)).json()
        assert len(page["items"]) <= 3
        seen += [one["id"] for one in page["items"]]
        pages += 1
        # Users that are added during the listing are newer, and move nothing.
        await http.post(USERS, json={"email": f"late{pages}@{mark}.example"})
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert pages == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "nobody"},
        {"email": "a@b", "surname": "x"},
        {"email": "a\u0000@b.example"},
        {"email": "a@b.example", "full_name": "\u0007"},
        {"email": "a@b.example", "full_name": "   "},
        {"email": "a@" + "b" * 320},
        [],
        "text",
    ],
)
async def test_a_malformed_user_is_refused(http, body):
    problem = assert_problem(await http.post(USERS, json=body), 422, "invalid_request")
    assert problem["errors"]
    assert all(error["field"].startswith("body") for error in problem["errors"])


@pytest.mark.parametrize(
    "named",
    [{"full_name": "Guest"}, {"external_id": "?"}, {"email": "?"}],
    ids=["name", "external id", "address"],
)
async def test_a_user_needs_one_of_name_address_and_external_id(http, named):
    made = {key: value.replace("?", f"{uuid4().hex}@example.com") for key, value in named.items()}
    answer = await http.post(USERS, json=made)
    assert answer.status_code == 201
    user = answer.json()
    absent = {"email": None, "full_name": None, "external_id": None} | made
    assert {key: user[key] for key in absent} == absent
    # The last of them stays.
    (name,) = made
    assert_problem(
        await http.patch(f"{USERS}/{user['id']}", json={name: None}), 422, "unnamed_user"
    )
    changed = await http.patch(
        f"{USERS}/{user['id']}", json={name: None, "external_id": f"next-{user['id']}"}
    )
    assert (changed.json()["external_id"], changed.json()["email"]) == (f"next-{user['id']}", None)


async def test_users_without_an_address_do_not_hinder_one_another(http):
    mark = uuid4().hex
    made = [(await http.post(USERS, json={"full_name": f"Guest {mark}"})).json() for _ in range(3)]
    found = (await http.get(USERS, params={"q": mark})).json()["items"]
    assert {one["id"] for one in found} == {one["id"] for one in made}


async def test_a_user_is_found_by_the_external_id(http, new_user):
    mark = uuid4().hex
    body = {"external_id": f" Staff/{mark} ", "full_name": "Ada"}
    user = (await http.post(USERS, json=body)).json()
    assert user["external_id"] == f"Staff/{mark}"
    found = (await http.get(USERS, params={"external_id": f"Staff/{mark}"})).json()
    assert [one["id"] for one in found["items"]] == [user["id"]]
    for other in (f"staff/{mark}", mark, f"Staff/{mark}%"):
        assert (await http.get(USERS, params={"external_id": other})).json()["items"] == []
    assert [one["id"] for one in (await http.get(USERS, params={"q": mark})).json()["items"]] == [
        user["id"]
    ]

    assert_problem(await http.post(USERS, json=body), 409, "external_id_taken")
    taken = {"external_id": user["external_id"]}
    other = await new_user()
    assert_problem(await http.patch(f"{USERS}/{other}", json=taken), 409, "external_id_taken")
    assert (await http.patch(f"{USERS}/{user['id']}", json=taken)).status_code == 200


async def test_metadata_is_kept_merged_and_emptied(http):
    metadata = {"floor": 3, "badge": "x-1", "contractor": True, "share": 0.5}
    body = {"full_name": "Guest", "metadata": metadata}
    user = (await http.post(USERS, json=body)).json()
    address = f"{USERS}/{user['id']}"
    assert user["metadata"] == metadata
    assert (await http.get(address)).json()["metadata"] == metadata
    changed = await http.patch(address, json={"metadata": {"floor": "4", "badge": None}})
    assert changed.json()["metadata"] == {"floor": "4", "contractor": True, "share": 0.5}
    assert changed.json()["full_name"] == "Guest"
    every = dict.fromkeys(changed.json()["metadata"])
    assert (await http.patch(address, json={"metadata": every})).json()["metadata"] == {}


async def test_changes_of_metadata_at_once_are_all_kept(http):
    user = (await http.post(USERS, json={"full_name": "Guest"})).json()
    address = f"{USERS}/{user['id']}"
    await asyncio.gather(
        *(http.patch(address, json={"metadata": {f"key {n}": n}}) for n in range(8))
    )
    assert (await http.get(address)).json()["metadata"] == {f"key {n}": n for n in range(8)}


@pytest.mark.parametrize(
    "metadata",
    [{"k": ["x"]}, {"k": {}}, {"": 1}, {"k": "\u0000"}, {"k": 2**53}, {"k" * 65: 1}, [], None],
    ids=["list", "object", "empty key", "control", "large", "long key", "array", "null"],
)
async def test_metadata_that_is_not_small_and_flat_is_refused(http, metadata):
    body = {"full_name": "Guest", "metadata": metadata}
    assert_problem(await http.post(USERS, json=body), 422, "invalid_request")
    user = (await http.post(USERS, json={"full_name": "Guest"})).json()
    answer = await http.patch(f"{USERS}/{user['id']}", json={"metadata": metadata})
    assert_problem(answer, 422, "invalid_request")
    assert (await http.get(f"{USERS}/{user['id']}")).json()["metadata"] == {}


async def test_numbers_that_json_does_not_have_are_refused(http):
    headers = {"content-type": "application/json"}
    content = b'{"full_name": "Guest", "metadata": {"k": NaN}}'
    answer = await http.post(USERS, content=content, headers=headers)
    assert_problem(answer, 422, "invalid_request")


async def test_what_is_no_json_is_refused(http):
    headers = {"content-type": "application/json"}
    answer = await http.post(USERS, content=b"{nonsense", headers=headers)
    assert_problem(answer, 422, "invalid_request")


#: A moment that lies outside the calendar in UTC.
OUTSIDE = base64.urlsafe_b64encode(f"0001-01-01T00:00:00+14:00|{UUID(int=7)}".encode()).decode()


@pytest.mark.parametrize("cursor", ["x", "????", "MjAyNg", "ä", "bm90aGluZw==", OUTSIDE])
async def test_a_foreign_cursor_is_refused(http, cursor):
    answer = await http.get(USERS, params={"cursor": cursor})
    assert_problem(answer, 422, "invalid_cursor")


async def test_no_user_is_found_by_an_unknown_id(http):
    unknown = f"{USERS}/{uuid4()}"
    assert_problem(await http.get(unknown), 404, "user_not_found")
    assert_problem(await http.get(f"{unknown}/faces"), 404, "user_not_found")
    assert_problem(await http.patch(unknown, json={"is_active": False}), 404, "user_not_found")
    assert_problem(await http.delete(unknown), 404, "user_not_found")
    assert_problem(await http.get(f"{USERS}/not-an-id"), 422, "invalid_request")


async def test_a_change_that_is_refused_leaves_the_person_recognisable(
    http, new_user, enrol, vectors
):
    user = await new_user()
    body = (await enrol(user, photos.carphone(1, first=30)[0])).json()
    taken = f"{uuid4().hex}@example.com"
    assert (await http.post(USERS, json={"email": taken})).status_code == 201
    answer = await http.patch(f"{USERS}/{user}", json={"is_active": False, "email": taken})
    assert_problem(answer, 409, "email_taken")
    assert (await http.get(f"{USERS}/{user}")).json()["is_active"] is True
    assert await is_in_gallery(vectors, body, user)


async def test_of_changes_at_once_users_and_gallery_say_the_same(http, new_user, enrol, vectors):
    user = await new_user()
    body = (await enrol(user, photos.carphone(1, first=30)[0])).json()
    for _ in range(15):
        answers = await asyncio.gather(
            *(
                http.patch(f"{USERS}/{user}", json={"is_active": number % 2 == 0})
                for number in range(4)
            )
        )
        assert {one.status_code for one in answers} == {200}
        is_active = (await http.get(f"{USERS}/{user}")).json()["is_active"]
        assert await is_in_gallery(vectors, body, user) is is_active
    assert (await http.delete(f"{USERS}/{user}")).status_code == 204


async def is_in_gallery(vectors, enrolled, user) -> bool:
    """Whether workers are given the person's template."""
    changes = await vectors.changes(enrolled["uploads"][0]["face"]["model"], 0, 100_000)
    (embedding,) = [one.embedding for one in changes if str(one.user_id) == user]
    return embedding is not None


@pytest.mark.parametrize(
    "body", [{}, {"is_active": None}, {"is_active": 0}, {"is_active": "no"}, {"metadata": None}]
)
async def test_a_change_changes_something(http, new_user, body):
    answer = await http.patch(f"{USERS}/{await new_user()}", json=body)
    assert_problem(answer, 422, "invalid_request")


async def test_a_change_of_what_another_client_has_changed_is_refused(http):
    made = await http.post(USERS, json={"full_name": f"Tag {uuid4().hex}"})
    user, first = f"{USERS}/{made.json()['id']}", made.headers["etag"]
    assert (await http.get(user)).headers["etag"] == first
    changed = await http.patch(user, json={"full_name": "One"}, headers={"If-Match": first})
    second = changed.headers["etag"]
    assert second != first
    for stale in (first, f"W/{second}", f'"x", {first}'):
        answer = await http.patch(user, json={"full_name": "Two"}, headers={"If-Match": stale})
        assert_problem(answer, 412, "changed_meanwhile")
    read = await http.get(user)
    assert (read.json()["full_name"], read.headers["etag"]) == ("One", second)
    listed = {"If-Match": f'"x", {second}'}
    assert (await http.patch(user, json={"full_name": "Two"}, headers=listed)).status_code == 200
    whatever = {"If-Match": "*"}
    assert (
        await http.patch(user, json={"full_name": "Three"}, headers=whatever)
    ).status_code == 200


async def test_of_changes_at_once_with_one_tag_one_is_made(http):
    made = await http.post(USERS, json={"full_name": f"Tag {uuid4().hex}"})
    user, headers = f"{USERS}/{made.json()['id']}", {"If-Match": made.headers["etag"]}
    answers = await asyncio.gather(
        *(
            http.patch(user, json={"metadata": {"by": number}}, headers=headers)
            for number in range(6)
        )
    )
    assert sorted(one.status_code for one in answers) == [200] + [412] * 5


@asynccontextmanager
async def uncommittable(records, user):
    """While this lasts no transaction that changes the user can be committed."""
    async with records._connection("test") as connection:
        await connection.execute(
            "CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '53100'; END $$"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER refuse_commit AFTER UPDATE ON users DEFERRABLE"
            f" INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = '{UUID(user)}')"
            " EXECUTE FUNCTION refuse_commit()"
        )
    try:
        yield
    finally:
        async with records._connection("test") as connection:
            await connection.execute("DROP FUNCTION refuse_commit CASCADE")


async def test_field_15_a_suspension_whose_commit_failed_is_undone(
    http, new_user, vectors, records
):
    """It stands in the vector database already when the main one refuses."""
    user, model = await new_user(), f"suspended-{uuid4().hex[:8]}"
    await vectors.ensure_model(model, 4)
    looks = np.array([1, 0, 0, 0], np.float32)
    await vectors.enrol(uuid4(), UUID(user), model, looks, datetime.now(UTC))

    async def matched():
        changes = await vectors.changes(model, 0)
        return next(one for one in changes if str(one.user_id) == user).embedding is not None

    async with uncommittable(records, user):
        answer = await http.patch(f"{USERS}/{user}", json={"is_active": False})
        assert_problem(answer, 503, "store_unavailable")
        assert await matched()
    assert (await http.get(f"{USERS}/{user}")).json()["is_active"] is True
    assert (await http.patch(f"{USERS}/{user}", json={"is_active": False})).status_code == 200
    assert not await matched()
    async with uncommittable(records, user):
        answer = await http.patch(f"{USERS}/{user}", json={"is_active": True})
        assert_problem(answer, 503, "store_unavailable")
        assert not await matched()
    assert (await http.patch(f"{USERS}/{user}", json={"is_active": True})).status_code == 200
    assert await matched()
