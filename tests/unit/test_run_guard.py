"""What a run has started ends with it, also when it is killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from infra.embedded.server_processes import is_alive, wait_gone
from infra.processes.guard_process import RUN_VARIABLE
from infra.processes.run_guard import RunGuard, end_run
from tests.compose.deployment import docker, removal, unavailable

ROOT = Path(__file__).parents[2]

#: Starts processes as workers are started, and prints their ids.
STARTS = """
import os, subprocess, sys, time
from infra.processes.run_guard import RunGuard
guard = RunGuard()
command = ["/bin/sh", "-c", sys.argv[1]]
child = subprocess.Popen(
    command,
    env=os.environ | guard.environment,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    start_new_session=True,
)
print(child.pid, guard._process.pid, child.stdout.readline().decode().strip(), flush=True)
time.sleep(120)
"""

CHILDREN = {
    "obedient": "echo $$; exec sleep 120",
    "deaf": "trap '' TERM INT HUP; echo $$; while :; do sleep 1; done",
    "frozen": "echo $$; kill -STOP $$",
    "a grandchild in a session of its own": "setsid sh -c 'echo $$; exec sleep 120' & wait",
    "orphaned": "setsid sh -c 'echo $$; exec sleep 120' & sleep 0.2",
}


def started(child):
    return subprocess.Popen(
        [sys.executable, "-c", STARTS, child], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN)
def test_field_23_sigkill_leaves_nothing(child):
    with started(child) as program:
        processes = [int(pid) for pid in program.stdout.readline().split()]
        assert is_alive(processes[-1])
        program.kill()
    assert wait_gone(processes, 20) == []


def test_field_23_the_guard_of_an_outer_run_spares_that_of_an_inner_one():
    """Else what the inner one has started would be left where the inner one has to be killed."""
    with RunGuard() as outer:
        run = outer.environment[RUN_VARIABLE]
        with subprocess.Popen(
            [sys.executable, "-c", STARTS, CHILDREN["deaf"]],
            cwd=ROOT,
            env=dict(outer.environment),
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            processes = [int(pid) for pid in program.stdout.readline().split()]
            end_run(run, grace=0)
        assert program.returncode in {-signal.SIGTERM, -signal.SIGKILL}
        assert wait_gone(processes, 20) == []


def test_field_23_other_processes_are_left_alone():
    with subprocess.Popen(["/bin/sleep", "60"], env={RUN_VARIABLE: "another"}) as stranger:
        began = time.monotonic()
        end_run("none", grace=0)
        assert time.monotonic() - began < 5
        assert stranger.poll() is None
        stranger.kill()


def test_field_23_what_is_no_process_is_cleared_away_last(tmp_path):
    """As the containers of a deployment are; after an orderly end nothing is done."""
    mark = tmp_path / "cleared"
    code = (
        "import sys, time; from infra.processes.run_guard import RunGuard\n"
        "guard = RunGuard(['/bin/sh', '-c', 'touch \"$0\"', sys.argv[1]])\n"
        "print(guard._process.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "guard.dismiss()\n"
    )
    for word, cleared in (("end\n", False), (None, True)):
        with subprocess.Popen(
            [sys.executable, "-c", code, mark],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            guard = int(program.stdout.readline())
            if word is None:
                program.kill()
            program.communicate(word)
        assert wait_gone([guard], 20) == []
        assert mark.exists() is cleared


def test_field_23_containers_of_a_killed_deployment_are_removed():
    if reason := unavailable(["redis:7-alpine"]):
        pytest.skip(reason)
    project = f"fecapass-test-{uuid4().hex[:8]}"
    label = f"com.docker.compose.project={project}"
    docker("network", "create", "--label", label, project)
    docker("volume", "create", "--label", label, project)
    docker(
        *(
            "run",
            "--detach",
            "--label",
            label,
            "--network",
            project,
            "--volume",
            f"{project}:/data",
        ),
        *("--name", project, "redis:7-alpine"),
    )
    subprocess.run(removal(project), check=True, capture_output=True)
    for kind in ("container", "volume", "network"):
        assert docker(kind, "ls", "--quiet", "--filter", f"label={label}") == ""


def test_field_23_a_dismissed_guard_ends_nothing():
    guard = RunGuard()
    with subprocess.Popen(["/bin/sleep", "60"], env=guard.environment) as child:
        guard.dismiss()
        assert guard._process.poll() is not None
        time.sleep(0.2)
        assert child.poll() is None
        child.kill()
