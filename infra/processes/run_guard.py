"""Ends all that a run has started when the run itself is killed.

A demonstration, a test suite or a benchmark starts workers and APIs in sessions of their own, and
SIGKILL leaves it no time to end them. So one small process watches it through a pidfd. What belongs
to the run is known by a variable in its environment, which children's children inherit: there is
no list to keep, and none to be incomplete. The embedded servers get a clean environment; they have
a guard of their own (`infra.embedded.guard`), which stops each as it wants to be stopped.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra.processes.guard_process import RUN_VARIABLE, GuardProcess, wait_for_end

#: Seconds in which to end in order, as what has started something itself should.
GRACE_SECONDS = 5.0

#: A child that was just being started when its parent was killed shows up within this time.
_SETTLE_SECONDS = 1.0
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.05


class RunGuard(GuardProcess):
    """The guard process of this process; `dismiss` it when all that was started has ended.

    Attributes:
        environment: has to be in the environment of all that is started.
    """

    def __init__(self, afterwards: Sequence[str] = ()) -> None:
        """Begin to watch.

        Args:
            afterwards: a command that clears away what are no processes of the run, such as
                containers; it is run last, and only where the run was killed.
        """
        run = secrets.token_hex(16)
        self.environment = {RUN_VARIABLE: run}
        super().__init__("infra.processes.run_guard", run, str(os.getpid()), *afterwards)


def end_run(run: str, grace: float = GRACE_SECONDS) -> None:
    """End every process of the run: SIGTERM first, after the grace SIGKILL."""
    began, asked = time.monotonic(), set[int]()
    while True:
        passed = time.monotonic() - began
        found = _members(run)
        try:
            for pid, descriptor in found.items():
                if passed > grace:
                    _send(descriptor, signal.SIGKILL)
                elif pid not in asked:
                    asked.add(pid)
                    _send(descriptor, signal.SIGTERM)
                    _send(descriptor, signal.SIGCONT)  # a frozen one would not handle it
        finally:
            for descriptor in found.values():
                os.close(descriptor)
        if (not found and passed > _SETTLE_SECONDS) or passed > grace + _KILL_SECONDS:
            return
        time.sleep(_POLL_SECONDS)


def _members(run: str) -> dict[int, int]:
    """Processes of the run: the id of each, and a pidfd, which no successor to the id can take."""
    entry = os.fsencode(f"{RUN_VARIABLE}={run}")
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(int(process.name))
            try:
                if entry in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = descriptor
            finally:
                if int(process.name) not in found:
                    os.close(descriptor)
    return found


def _send(descriptor: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


def main(run: str, starter: int, afterwards: Sequence[str]) -> None:
    """Wait for the starter to end, then end what it has left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wait_for_end(starter)
    end_run(run)
    if afterwards:
        subprocess.run(afterwards, check=False)  # noqa: S603 - the starter's own


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
