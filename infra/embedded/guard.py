"""Ends the servers when the process that started them is killed.

SIGKILL leaves no time to clean up, and the kernel's parent-death signal follows the thread that
started a child, not the process: a server restarted from a worker thread would die with that
thread. So one small process per stack watches its starter through a pidfd. When the starter is
gone it takes the lock on the data directory (if another process was faster, that one cleans up) and
ends the processes that the starter recorded, with the code that the next start would use.
"""

import os
import signal
import sys
import time
from pathlib import Path

from infra.embedded.private_files import DataDirectoryLock
from infra.embedded.server_processes import end_leftovers
from infra.processes.guard_process import GuardProcess, wait_for_end

#: A server that was just being started when the starter was killed shows up within this time.
_SETTLE_SECONDS = 0.2


def start_guard(data_dir: Path, records: Path) -> GuardProcess:
    """Have the servers of a stack ended when this process ends before it has stopped them.

    Args:
        data_dir: of the stack.
        records: file with the processes of its servers.
    """
    return GuardProcess("infra.embedded.guard", data_dir, records, str(os.getpid()))


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
