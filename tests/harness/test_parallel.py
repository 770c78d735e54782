"""Tests in several processes: which run in one process, in which order, and how they end."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import parallel
from tests.harness.pytest_run import pytest_run

ROOT = Path(__file__).parents[2]

#: Ends more slowly than pytest-xdist allows: it interrupts again after 5 s.
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


NOTES_ITS_PROCESS = """
import os
import pathlib

import pytest

HERE = pathlib.Path(__file__)


@pytest.mark.parametrize("number", range(6))
def test_it(number):
    (HERE.parent / f"{HERE.stem}.{os.getpid()}.ran").touch()
"""


def test_all_processes_end_normally_when_the_run_is_interrupted(tmp_path):
    script = tmp_path / "test_that_is_interrupted.py"
    script.write_text(ENDS_SLOWLY)
    with pytest_run(script, "-n", "2") as tests:
        while len([*tmp_path.glob("*.started")]) < 2:
            assert tests.poll() is None, tests.communicate()[0]
            time.sleep(0.05)
        tests.send_signal(signal.SIGTERM)  # to this process only, as `kill` and some supervisors do
        output, _ = tests.communicate(timeout=120)
    assert tests.returncode == 2, output  # pytest: interrupted by the user
    assert {path.name for path in tmp_path.glob("*.ended")} == {"one.ended", "two.ended"}


class Item(SimpleNamespace):
    """A test as pytest has collected it."""

    def get_closest_marker(self, name):
        return name if name in self.marks else None


def item(path, marks=()):
    return Item(path=ROOT / "tests" / path, marks=marks)


@pytest.mark.parametrize(
    ("nodeid", "together"),
    [
        ("tests/contract/test_crops.py::test_a[x::y]", "tests/contract/test_crops.py"),
        ("tests/end_to_end/api/test_faces.py::test_a", "tests/end_to_end/api"),
        ("tests/end_to_end/api/test_contract.py::test_a", "tests/end_to_end/api/test_contract.py"),
        ("tests/end_to_end/console/test_live.py::test_a", "tests/end_to_end/console"),
        ("tests/end_to_end/test_crash.py::test_a", "tests/end_to_end/test_crash.py"),
        ("tests/chaos/test_harness.py::test_a", "tests/chaos/test_harness.py::test_a"),
    ],
)
def test_modules_that_share_the_api_run_in_one_process(nodeid, together):
    assert parallel.scope(nodeid) == together


def test_the_longest_tests_run_first_and_those_of_the_harness_last():
    items = [
        item("chaos/test_harness.py", marks=["waits"]),
        item("contract/test_crops.py"),
        item("end_to_end/api/test_faces.py"),
        item("end_to_end/test_crash.py", marks=["waits"]),
    ]
    ordered = [each.path.stem for each in parallel.arrange(items, ROOT)]
    assert ordered == ["test_faces", "test_crash", "test_crops", "test_harness"]


def test_a_module_is_run_by_one_process(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text(NOTES_ITS_PROCESS)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope"]
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, *plugins, "-c", ROOT / "pyproject.toml", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    ran = [path.name.split(".")[0] for path in tmp_path.glob("*.ran")]
    assert sorted(ran) == ["test_one", "test_three", "test_two"]


@pytest.mark.parametrize("name", parallel.HARNESS)
def test_the_modules_that_run_last_exist(name):
    assert (ROOT / name).exists()
