"""What docs/api.md tells to type does what it says."""

import asyncio
import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from sinks.main.database_sessions import Databases
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import new_key
from tests.end_to_end.planted_visits import a_visit, plant, plant_unknown, still_there
from tests.stored_records import stored_user

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
README = Path(__file__).parents[3] / "README.md"
#: Where a code is given to a problem.
RAISED = re.compile(r"(?:ApiProblem\(\s*\d+,\s*|_unknown\(|_unreadable\()\"(\w+)\"")

ROOM = Path(__file__).parents[3] / "api"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
async def test_the_commands_of_the_page_do_what_it_says(gateway, prepared, records, tmp_path):
    # The page's user has the address of the OpenAPI document's examples, which other tests send.
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM users WHERE email = 'ada@example.com'")
    (tmp_path / "photo.jpg").write_bytes(photos.astronaut())
    blocks = re.findall(
        r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 11
    async with Databases(prepared) as databases:
        visitor = await stored_user(records, f"{uuid4().hex}@example.org", "Early Bird")
        here, came = still_there(a_visit("door")), a_visit("door", visitor.id)
        twice = [a_visit("yard", minutes=minutes) for minutes in (0, 10, 20, 30)]
        await plant(databases, [here, came, *twice])
        for visits in (twice[:2], twice[2:]):
            await plant_unknown(databases, visits)
    key = await new_key(prepared, "admin")
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "API_URL": gateway.address, "API_KEY": key},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    def read(name: str) -> dict:
        return json.loads((tmp_path / name).read_text())

    assert read("enrolled.json")["status"] == "enrolled"
    assert read("found.json")["faces"][0]["candidates"]
    assert read("matches.json").keys() == {"items", "next_cursor"}
    assert all(one["user_id"] for one in read("known.json")["items"])
    assert read("accepted.json")["status"] == "pending"
    assert read("status.json")["status"] == "enrolled"
    assert read("similar.json")["face_id"] == read("enrolled.json")["uploads"][0]["face"]["id"]
    assert read("elsewhere.json")["model"] == read("similar.json")["model"]
    assert read("forced.json")["status"] == "enrolled"
    assert read("check.json")["users"] > 0
    assert read("promoted.json")["visits"] > 0
    assert read("dismissed.json")["state"] == "dismissed"
    assert (tmp_path / "stream.txt").read_text().startswith("retry: 2000")
    assert read("deactivated.json")["is_active"] is False
    assert read("health.json")["status"] == "ok"
    assert str(here.visit_id) in {one["visit_id"] for one in read("door.json")["items"]}
    with (tmp_path / "attendance.csv").open(newline="") as file:
        rows = {row["visit_id"]: row for row in csv.DictReader(file)}
    assert rows[str(came.visit_id)]["full_name"] == "Early Bird"
    assert str(here.visit_id) not in rows
    assert (tmp_path / "visits.txt").read_text().startswith("retry: 2000")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
async def test_the_commands_of_the_readme_do_what_it_says(
    gateway, prepared, records, new_user, tmp_path
):
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM users WHERE email = 'ada@example.com'")
    section = README.read_text(encoding="utf-8").partition("### Over HTTP")[2].partition("###")[0]
    block = section.partition("```console\n")[2].partition("```")[0].replace("\\\n", "")
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    commands = [line for line in lines if not re.match(r"fecapass api|export KEY=", line)]
    assert len(lines) - len(commands) == 2
    assert sum("curl" in line or "call" in line for line in commands) >= 4
    script = "\n".join(['curl() { command curl --fail-with-body -sS "$@"; }', *commands])
    script = script.replace("localhost:8000", gateway.address)
    script = script.replace("user_id=ID", f"user_id={await new_user()}")
    for name in ("ada.jpg", "probe.jpg"):
        (tmp_path / name).write_bytes(photos.astronaut())
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "KEY": await new_key(prepared, "read", "enrol", "search")},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"enrolled"' in done.stdout
    assert '"candidates":[{' in done.stdout
    assert '"next_cursor":' in done.stdout


def test_every_code_of_the_sources_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    named = set()
    for source in ROOM.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        named |= set(
            re.findall(r'(?:ApiProblem\(\s*\d+,\s*|_unknown\(|_unreadable\()"(\w+)"', text)
        )
    assert len(named) > 15
    assert {code for code in named if f"`{code}`" not in page} == set()
