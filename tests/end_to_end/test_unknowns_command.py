"""Unknown people who come back, on the command line."""

import json
from uuid import uuid4

import pytest
import pytest_asyncio

from sinks.main.database_sessions import Databases
from tests.contract.builders import unique
from tests.end_to_end.planted_visits import a_visit, plant, plant_unknown
from tests.stored_records import stored_user


@pytest_asyncio.fixture
async def databases(prepared):
    async with Databases(prepared) as opened:
        yield opened


@pytest.fixture
def camera():
    return unique("lobby")


@pytest_asyncio.fixture
async def unknown(databases, camera):
    visits = [a_visit(camera, minutes=number) for number in range(2)]
    await plant(databases, visits)
    return await plant_unknown(databases, visits)


async def test_unknowns_are_a_table(fecapass, unknown, camera):
    code, output, errors = await fecapass("unknowns", "list", "--camera", camera)
    assert (code, errors) == (0, "")
    head, _, row = [line for line in output.splitlines() if line.strip()]
    assert head.split() == ["unknown", "visits", "first", "seen", "last", "seen", "cameras"]
    assert row.split()[:2] == [str(unknown), "2"]
    assert row.split()[-1] == camera


async def test_one_is_shown_with_its_visits(fecapass, unknown):
    code, output, errors = await fecapass("unknowns", "show", str(unknown), "--json")
    assert (code, errors) == (0, "")
    shown = json.loads(output)
    assert (shown["id"], shown["visits"][0]["unknown_id"]) == (str(unknown), str(unknown))
    assert len(shown["visits"]) == 2


async def test_one_is_put_aside(fecapass, unknown, camera):
    code, output, errors = await fecapass("unknowns", "dismiss", str(unknown))
    assert (code, errors) == (0, "")
    first, second = output.splitlines()
    assert first == f"dismissed {unknown}"
    undo = second.removeprefix("to undo it, within 30 days: fecapass ").split()
    code, output, _ = await fecapass("unknowns", "list", "--camera", camera, "--json")
    assert (code, json.loads(output)) == (0, [])
    code, output, _ = await fecapass(
        "unknowns", "list", "--camera", camera, "--dismissed", "--json"
    )
    assert [one["id"] for one in json.loads(output)] == [str(unknown)]
    code, output, errors = await fecapass(*undo)
    assert (code, errors) == (0, "")
    code, output, _ = await fecapass("unknowns", "list", "--camera", camera, "--json")
    assert [one["id"] for one in json.loads(output)] == [str(unknown)]


async def test_one_without_pictures_becomes_a_user_and_the_exit_code_says_so(
    fecapass, unknown, records
):
    user = await stored_user(records, f"{uuid4().hex}@example.org")
    code, output, errors = await fecapass(
        "unknowns", "promote", str(unknown), "--user", user.email, "--json"
    )
    assert code == 1
    assert "no face was enrolled" in errors
    done = json.loads(output)
    assert (done["user_id"], done["visits"], done["sent"]) == (str(user.id), 2, 0)
    code, output, errors = await fecapass("correct", "undo", done["correction_id"], "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["unknown_id"] == str(unknown)


@pytest.mark.parametrize(
    "options", [("show",), ("dismiss",), ("promote", "--email", "a@example.org")], ids=" ".join
)
async def test_there_is_no_unknown_without_a_row(fecapass, options):
    command, *rest = options
    code, output, errors = await fecapass("unknowns", command, str(uuid4()), *rest)
    assert (code, output) == (1, "")
    assert errors == "fecapass: there is no such unknown\n"


async def test_visits_are_parted_and_joined_again(fecapass, databases, unknown):
    _, output, _ = await fecapass("unknowns", "show", str(unknown), "--json")
    visit = json.loads(output)["visits"][0]["visit_id"]
    code, output, errors = await fecapass("unknowns", "part", str(unknown), visit)
    assert (code, errors) == (0, "")
    other = output.removeprefix("parted: ").strip()
    code, output, _ = await fecapass("unknowns", "join", other, str(unknown))
    assert (code, output.startswith("joined into ")) == (0, True)
    code, _, errors = await fecapass("unknowns", "part", str(unknown), str(uuid4()))
    assert code == 1
    assert errors.startswith("fecapass: these are not some")
    code, output, _ = await fecapass("unknowns", "proposals", "--json")
    assert (code, isinstance(json.loads(output), list)) == (0, True)
