"""A child process that survives being interrupted.

`subprocess.Popen` guards `poll` and `wait` by a lock. A KeyboardInterrupt that hits between taking
the lock and the ``try`` behind it leaves the lock taken, and the next `wait` never returns: seen
when Ctrl-C met the loop that watches the servers. Here the kernel is asked directly.
"""

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

POLL_SECONDS = 0.02

#: `Child.code` when the process ended and an interrupt swallowed the word of how.
UNKNOWN = 255


class Child:
    """A started process: whether it runs, its end, and signals to it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._process.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._process.returncode = UNKNOWN
            else:
                if pid == self.pid:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.code is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:  # not yet reaped, so the number is still its own
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it still runs after that time."""
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True
