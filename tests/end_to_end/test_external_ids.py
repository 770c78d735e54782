"""People without an address, known by ids of the application; and where else a face was seen."""

import json
from uuid import uuid4

import pytest

from tests.end_to_end import photos

pytestmark = pytest.mark.usefixtures("client")


async def test_folders_named_by_external_ids_make_users_without_an_address(
    fecapass, records, tmp_path
):
    mark = uuid4().hex
    people = tmp_path / "people"
    for number in (1, 2):
        folder = people / f"{mark}_{number}"
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(photos.carphone(1, first=40 * number)[0])
    command = ("enrol", "--from-dir", str(people), "--by-external-id", "--json")
    code, output, errors = await fecapass(*command)
    rows = json.loads(output)
    assert (code, [row["status"] for row in rows]) == (0, ["enrolled", "enrolled"]), errors
    assert [(row["external_id"], row["email"]) for row in rows] == [
        (f"{mark}_1", None),
        (f"{mark}_2", None),
    ]
    code, output, _ = await fecapass(*command)
    assert [row["user_id"] for row in json.loads(output)] == [row["user_id"] for row in rows]

    code, output, _ = await fecapass("users", "show", f"{mark}_2", "--json")
    shown = json.loads(output)
    assert (code, shown["id"], shown["metadata"]) == (0, rows[1]["user_id"], {})
    code, output, _ = await fecapass("users", "list", "--search", mark)
    assert [mark in line for line in output.splitlines()].count(True) == 2

    code, _, errors = await fecapass("erase", f"{mark}_1", "--yes")
    assert (code, errors) == (0, "")
    code, _, errors = await fecapass("users", "show", f"{mark}_1")
    assert (code, errors) == (1, f"fecapass: there is no user {mark}_1\n")
    # An erased user is found by the id alone, to erase what a backup brought back.
    code, _, errors = await fecapass("erase", rows[0]["user_id"], "--yes")
    assert (code, errors) == (0, "")


async def test_one_person_is_enrolled_by_an_external_id(fecapass, records, tmp_path):
    own, photo = f"visitor {uuid4().hex}", tmp_path / "a.jpg"
    photo.write_bytes(photos.astronaut())
    code, output, errors = await fecapass(
        "enrol", str(photo), "--external-id", own, "--name", "Grace Hopper", "--json"
    )
    assert code == 0, errors
    (row,) = json.loads(output)
    user = (await records.users([row["user_id"]])).popitem()[1]
    assert (user.external_id, user.full_name, user.email) == (own, "Grace Hopper", None)
    code, output, _ = await fecapass("enrol", str(photo), "--external-id", own)
    assert own in output
    code, _, errors = await fecapass("enrol", str(photo), "--external-id", "\u200b", COLUMNS="300")
    assert code == 2
    assert "no external id" in errors
    code, _, errors = await fecapass("enrol", str(photo), "--by-external-id", COLUMNS="300")
    assert code == 2


async def test_a_face_is_looked_for_by_photo_and_by_id(fecapass, tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(photos.astronaut())
    code, output, errors = await fecapass("similar", str(photo), "--json")
    assert code == 0, errors
    rows = json.loads(output)
    assert all(row["probe"] == 1 for row in rows)
    ranked = [row["similarity"] for row in rows]
    assert ranked == sorted(ranked, reverse=True)
    absent = str(uuid4())
    code, _, errors = await fecapass("similar", absent)
    assert (code, errors) == (1, f"fecapass: {absent}: there is no face with this id\n")
    code, _, errors = await fecapass("similar", "nothing.jpg")
    assert code == 1
    assert "neither the id of a face nor a photo" in errors
    photo.write_bytes(photos.nobody())
    code, _, errors = await fecapass("similar", str(photo))
    assert (code, "no face was found" in errors) == (1, True)
