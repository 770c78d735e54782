"""Tests in several processes: which go together, in which order, and how they end."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import parallel

ROOT = Path(__file__).parents[2]

#: Ends slower than pytest-xdist allows: it interrupts once more after 5 s.
ENDS_SLOWLY = """
import asyncio
import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


@pytest.fixture(params=["one", "two"])
async def program(request):
    try:
        yield request.param
    finally:
        await asyncio.sleep(7)
        (HERE / f"{request.param}.ended").touch()


async def test_that_waits(program):
    (HERE / f"{program}.started").touch()
    await asyncio.sleep(60)
"""


def test_all_processes_end_in_order_when_the_run_is_told_to_end(tmp_path):
    script = tmp_path / "test_that_is_interrupted.py"
    script.write_text(ENDS_SLOWLY)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "tests.conftest"]
    with subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as tests:
        while len([*tmp_path.glob("*.started")]) < 2:
            assert tests.poll() is None, tests.communicate()[0]
            time.sleep(0.05)
        tests.send_signal(signal.SIGTERM)  # to the one alone, as `kill` and some supervisors do
        told, _ = tests.communicate(timeout=120)
    assert tests.returncode == 2, told  # pytest: interrupted by the user
    assert {path.name for path in tmp_path.glob("*.ended")} == {"one.ended", "two.ended"}


class Item(SimpleNamespace):
    """A test as pytest has collected it."""

    def add_marker(self, mark):
        self.group = mark.mark.args[0]

    def get_closest_marker(self, name):
        return name if name in self.marks else None


def item(path, *fixtures, marks=()):
    return Item(path=ROOT / "tests" / path, fixturenames=fixtures, marks=marks, group=None)


def test_modules_go_together_that_need_the_same_programs():
    items = [
        item("contract/test_crops.py", "stack"),
        item("end_to_end/test_enrol.py", "stack", "workers"),
        item("end_to_end/test_enrol.py", "stack"),
        item("end_to_end/api/test_faces.py", "gateway", "workers", "stack"),
        item("end_to_end/api/test_health.py", "workers", "stack"),
        item("end_to_end/test_crash.py", "stack"),
        item("infra/test_embedded.py", "data_dir"),
        item("infra/test_embedded.py", "data_dir"),
    ]
    parallel.arrange(items, ROOT)
    groups = [each.group for each in items]
    assert groups == ["test_crops", *["end_to_end"] * 2, "api", "api", "test_crash", None, None]


def test_a_module_with_a_group_of_its_own_keeps_it():
    items = [item("end_to_end/api/test_contract.py", "gateway", "stack", marks=["xdist_group"])]
    parallel.arrange(items, ROOT)
    assert items[0].group is None


def test_those_that_take_longest_begin_first_and_those_of_the_harness_last():
    items = [
        item("chaos/test_harness.py", marks=["waits"]),
        item("contract/test_crops.py", "stack"),
        item("end_to_end/api/test_faces.py", "stack", "workers", "gateway"),
        item("end_to_end/test_crash.py", "stack", marks=["waits"]),
        item("infra/test_embedded.py"),
    ]
    ordered = [each.path.stem for each in parallel.arrange(items, ROOT)]
    assert ordered == ["test_faces", "test_crash", "test_crops", "test_embedded", "test_harness"]


@pytest.mark.parametrize("name", parallel.HARNESS)
def test_what_is_put_last_is_there(name):
    assert (ROOT / name).exists()
