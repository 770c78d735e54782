"""Ends the servers when the process that started them is killed.

SIGKILL leaves no time to clean up, and the kernel's parent-death signal follows the thread that
started a child, not the process: a server restarted from a worker thread would die with that
thread. So one small process per stack watches its starter through a pidfd. When the starter is
gone it takes the lock on the data directory (if another process was faster, that one cleans up) and
ends the processes that the starter recorded, with the code that the next start would use.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from infra.embedded.files import DataDirectoryLock
from infra.embedded.server_processes import end_leftovers, wait_for_end
from infra.processes.run_guard import unmarked_environment

#: A server that was just being started when the starter was killed shows up within this time.
_SETTLE_SECONDS = 0.2

_ROOT = Path(__file__).resolve().parents[2]


class Guard:
    """The guard process of this process; it outlives Ctrl-C."""

    def __init__(self, data_dir: Path, records: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "infra.embedded.guard", data_dir, records, str(os.getpid())],
            cwd=_ROOT,  # where the package is found, installed or not
            env=unmarked_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the guard: there is nothing left to guard."""
        self._process.kill()
        self._process.wait()


def main(data_dir: Path, records: Path, starter: int) -> None:
    """Wait for the starter to end, then clean up after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wait_for_end(starter)
    time.sleep(_SETTLE_SECONDS)
    lock = DataDirectoryLock(data_dir)
    if lock.try_acquire():
        end_leftovers(records)
        (data_dir / "stack.env").unlink(missing_ok=True)
        lock.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
