"""An interrupted run of tests leaves no process behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.harness.pytest_run import pytest_run

ROOT = Path(__file__).parents[2]

#: How a script's shell starts a background process: it ignores Ctrl-C.
IN_THE_BACKGROUND = ("/bin/sh", "-c", 'trap "" INT; exec "$0" "$@"')

STARTS_A_PROCESS = """
import asyncio
import subprocess


async def test_that_waits():
    process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    try:
        print("started", process.pid, flush=True)
        await asyncio.sleep(60)
    finally:
        print("ending", flush=True)
        await asyncio.sleep(1)
        process.kill()
        await asyncio.to_thread(process.wait)
"""


@pytest.mark.parametrize("started_by", [(), IN_THE_BACKGROUND], ids=["shell", "background"])
def test_sigterm_ends_what_a_test_has_started(tmp_path, started_by):
    script = tmp_path / "test_that_is_interrupted.py"
    script.write_text(STARTS_A_PROCESS)
    with pytest_run(script, "-s", started_by=started_by) as tests:
        pid = int(line_of(tests, "started").split()[1])
        try:
            tests.send_signal(signal.SIGTERM)
            line_of(tests, "ending")
            tests.send_signal(signal.SIGTERM)  # from make, after the one for its process group
            tests.communicate(timeout=30)
            assert tests.returncode == 2  # pytest: interrupted by the user
            assert has_ended(pid)
        finally:
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)


def test_field_23_sigkill_ends_what_a_test_has_started(tmp_path):
    script = tmp_path / "test_that_is_killed.py"
    script.write_text(STARTS_A_PROCESS)
    with pytest_run(script, "-s") as tests:
        pid = int(line_of(tests, "started").split()[1])
        try:
            tests.kill()
            assert has_ended(pid)
        finally:
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)


def line_of(tests, word):
    return next(line for line in tests.stdout if line.startswith(word))


def has_ended(pid):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
