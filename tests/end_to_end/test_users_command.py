"""Who is enrolled, on the command line: listed, shown, and rid of a photo."""

import json
import os
from uuid import uuid4

import pytest

from domain.personal_data import DataSubject
from tests.end_to_end import photos
from tests.stored_records import stored_user


@pytest.fixture
async def ada(client, tmp_path):
    """A user with two photos and a long name."""
    folder = tmp_path / "ada"
    folder.mkdir()
    for number, photo in enumerate(photos.carphone(2, step=20)):
        (folder / f"{number}.jpg").write_bytes(photo)
    email = f"{uuid4().hex}@a-rather-long-domain-of-a-company.example.com"
    answers = await client.enrol_person(email, f"李 {uuid4().hex} Lovelace", folder.iterdir())
    assert [one.answer.status for one in answers] == ["enrolled", "enrolled"]
    return answers[0].user


async def test_field_21_users_are_listed_each_on_one_line(fecapass, ada):
    code, output, errors = await fecapass("users", "list", "--search", ada.email[:12].upper())
    assert (code, errors) == (0, "")
    (line,) = [line for line in output.splitlines() if ada.email in line]
    assert str(ada.id) in line
    assert ada.full_name in line
    code, output, _ = await fecapass("users", "list", "--search", ada.full_name, "--json")
    (row,) = json.loads(output)
    assert (row["email"], row["photos"], row["is_active"]) == (ada.email, 2, True)


async def test_field_21_a_listing_says_when_it_stops(fecapass, records):
    for _ in range(3):
        await stored_user(records, f"{uuid4().hex}@stop.example")
    code, output, errors = await fecapass(
        "users", "list", "--search", "@stop.example", "--limit", "2", "--json"
    )
    assert (code, len(json.loads(output))) == (0, 2)
    assert "2 of 3 users" in errors


async def test_field_21_one_photo_is_taken_out_and_the_template_made_from_the_others(
    fecapass, ada, vectors, records
):
    code, output, _ = await fecapass("users", "show", ada.email.upper(), "--json")
    assert code == 0
    user = json.loads(output)
    assert user["id"] == str(ada.id)
    one, other = user["photos"]
    before = (await vectors.traces(DataSubject(ada.id))).counts
    code, output, errors = await fecapass("users", "remove-photo", one["photo_id"], "--yes")
    assert (code, errors) == (0, "")
    after = (await vectors.traces(DataSubject(ada.id))).counts
    assert (before["templates"], after["templates"], after["gallery entries"]) == (2, 1, 1)
    assert [str(one) for one in await face_ids(records, ada)] == [other["face_id"]]
    code, _, errors = await fecapass("users", "remove-photo", one["photo_id"], "--yes")
    assert (code, errors) == (1, f"fecapass: there is no enrolled photo {one['photo_id']}\n")


async def face_ids(records, user):
    async with records._connection("test") as connection:
        rows = await connection.fetch("SELECT id FROM faces WHERE user_id = $1", user.id)
    return [row["id"] for row in rows]


async def test_field_21_no_name_ends_a_command_on_a_small_terminal(fecapass, ada):
    """What the terminal lacks is an escape; JSON stays JSON, and says the same."""
    code, output, _ = await fecapass("users", "list", encoding="latin-1")
    assert code == 0
    assert "\\u674e" in output
    code, output, _ = await fecapass("users", "show", ada.email, "--json", encoding="ascii")
    assert json.loads(output)["full_name"] == ada.full_name
    code, _, errors = await fecapass("users", "show", "李@example.com", encoding="latin-1")
    assert code == 1
    assert errors == "fecapass: there is no user \\u674e@example.com\n"


@pytest.mark.parametrize("command", [("users", "show"), ("users", "list", "--search"), ("erase",)])
async def test_field_21_an_argument_that_is_no_utf8_is_reported_in_one_line(fecapass, command):
    code, _, errors = await fecapass(*command, os.fsdecode(b"\xff"))
    assert code == 1
    assert errors.startswith("fecapass: ")
    assert errors.count("\n") == 1


async def test_field_21_enrolling_many_with_json_says_how_far_it_is(fecapass, client, tmp_path):
    for number, name in enumerate(("Anna Lee", "Bert")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "IMG_0001.jpg").write_bytes(photos.carphone(1, first=40 + number)[0])
    (tmp_path / "Bert" / "2.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "Bert.jpg").write_bytes(photos.astronaut())
    code, output, errors = await fecapass("enrol", "--from-dir", str(tmp_path), "--json")
    rows = json.loads(output)
    assert (code, [row["status"] for row in rows]) == (1, ["enrolled", "enrolled", "refused"])
    assert "HEIC is not accepted" in rows[2]["message"]
    assert "skipped 1: 1 of the system" in errors
    assert "0 of 2 people enrolled" in errors
    assert "2 of 2 people enrolled" in errors
    # Another folder, another person: the address that both names make is not shared.
    (tmp_path / "Anna Lee").rename(tmp_path / "Anna-Lee")
    (tmp_path / "Bert" / "2.HEIC").unlink()
    code, output, errors = await fecapass("enrol", "--from-dir", str(tmp_path), "--json")
    assert code == 1
    (refused,) = [row for row in json.loads(output) if row["status"] != "enrolled"]
    assert refused["code"] == "another_person"


async def test_field_16_the_command_line_enrols_no_deactivated_user(
    fecapass, client, records, tmp_path
):
    user = await stored_user(records, f"{uuid4().hex}@example.com")
    async with records._connection("test") as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", user.id)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(photos.astronaut())
    code, output, _ = await fecapass("enrol", "--user", user.email, str(photo), "--json")
    (row,) = json.loads(output)
    assert (code, row["status"], row["code"]) == (1, "refused", "user_inactive")
    assert (await records.traces(DataSubject(user.id))).counts["enrolled faces"] == 0


@pytest.mark.parametrize("bad", ["ada", "ada\u200b@example.com", "\u0430da@example.com"])
async def test_field_07_the_command_line_takes_no_other_addresses_than_the_api(
    fecapass, tmp_path, bad
):
    (tmp_path / "a.jpg").write_bytes(b"x")
    code, _, errors = await fecapass("enrol", "--user", bad, str(tmp_path / "a.jpg"), COLUMNS="300")
    assert code == 2
    assert "no e-mail address" in errors
