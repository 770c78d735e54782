"""What docs/api.md tells to type does what it says."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end import photos
from tests.end_to_end.api.conftest import new_key

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
    assert len(blocks) == 5
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
    assert (tmp_path / "stream.txt").read_text().startswith("retry: 2000")
    assert read("deactivated.json")["is_active"] is False
    assert read("health.json")["status"] == "ok"


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
