"""Who was where, on the command line."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from sinks.main.database_sessions import Databases
from tests.contract.builders import unique
from tests.end_to_end.planted_visits import NOON, a_visit, plant, still_there
from tests.stored_records import stored_user


@pytest_asyncio.fixture
async def databases(prepared):
    async with Databases(prepared) as opened:
        yield opened


@pytest_asyncio.fixture
async def ada(records):
    return await stored_user(records, f"{uuid4().hex}@example.org", "Ada Lovelace")


@pytest.fixture
def camera():
    return unique("lobby")


def ids(output):
    return [one["visit_id"] for one in json.loads(output)]


async def test_visits_are_a_table_of_who_was_where(fecapass, databases, ada, camera):
    known, unknown = a_visit(camera, ada.id), still_there(a_visit(camera, minutes=5))
    await plant(databases, [known, unknown])
    code, output, errors = await fecapass("visits", "--camera", camera)
    assert (code, errors) == (0, "")
    head, _, first, second = [line for line in output.splitlines() if line.strip()]
    assert head.split() == ["person", "camera", "from", "to", "faces", "similarity"]
    assert first.split()[0] == "unknown"
    assert "now" in first.split()
    assert second.startswith("  Ada Lovelace")
    assert second.split()[-2:] == ["7", "0.70"]


async def test_each_option_chooses_its_visits(fecapass, databases, ada, camera):
    visits = {
        "known": a_visit(camera, ada.id),
        "unknown": a_visit(camera, minutes=1),
        "open": still_there(a_visit(camera, ada.id, minutes=2)),
    }
    await plant(databases, list(visits.values()))
    since = (NOON + timedelta(minutes=1)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    for options, expected in {
        (): ("open", "unknown", "known"),
        ("--user", str(ada.id)): ("open", "known"),
        ("--user", ada.email.upper()): ("open", "known"),
        ("--open",): ("open",),
        ("--since", since): ("open", "unknown"),
    }.items():
        code, output, errors = await fecapass("visits", "--camera", camera, *options, "--json")
        assert (code, errors) == (0, "")
        assert ids(output) == [str(visits[name].visit_id) for name in expected], options
    (row,) = [one for one in json.loads(output) if one["user_id"]]
    assert (row["name"], row["seconds"], row["ended_at"]) == ("Ada Lovelace", 90.0, None)
    assert "announced_at" not in row


async def test_recent_lists_visits_and_says_when_it_stops(fecapass, databases, camera):
    visits = [a_visit(camera, minutes=n) for n in range(3)]
    await plant(databases, visits)
    code, output, errors = await fecapass("recent", "--camera", camera, "--limit", "2", "--json")
    assert (code, ids(output)) == (0, [str(one.visit_id) for one in visits[:0:-1]])
    assert errors == "only 2 visits, the latest, are shown; --limit shows more\n"
    code, output, _ = await fecapass("recent", "--camera", unique("empty"))
    assert code == 0
    assert "no visit" in output
    assert "--faces" in output
    code, output, _ = await fecapass("recent", "--faces", "--camera", camera)
    assert (code, output) == (0, f"no face has been seen yet by {camera}\n")


async def test_a_user_who_does_not_exist_is_reported_in_one_line(fecapass):
    code, output, errors = await fecapass("visits", "--user", "none@example.org")
    assert (code, output) == (1, "")
    assert errors == "fecapass: there is no user none@example.org\n"
