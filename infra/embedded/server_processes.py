"""Other processes: alive or not, ours or not, and how to end them."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

POLL_SECONDS = 0.05

#: TCP_LISTEN, as /proc/net/tcp writes it.
_LISTEN = "0A"


@dataclass(frozen=True)
class Record:
    """A server process that a stack started.

    Attributes:
        name: which server.
        pid: its process id; 0 where it is only about to be started.
        marker: a path inside the data directory that is in its command line, and is its HOME;
            a process without it only has the same number.
    """

    name: str
    pid: int
    marker: str


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    return False


def is_ours(record: Record) -> bool:
    """Whether the process still is the server that was recorded."""
    with contextlib.suppress(psutil.Error):
        command = psutil.Process(record.pid).cmdline()
        return any(record.marker in part for part in command) and is_alive(record.pid)
    return False


def at_home_in(directory: str) -> list[int]:
    """Process ids of those that were started with this directory as their HOME."""
    everyone = psutil.process_iter(["environ"])
    return [one.pid for one in everyone if (one.info["environ"] or {}).get("HOME") == directory]


def children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def owns_port(pid: int, port: int) -> bool:
    """Whether the process, or a direct child of it, listens on the port.

    Where the kernel does not let us look into the process, or at the sockets, it is believed.
    """
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    if not wanted:
        return True
    for process in (pid, *children(pid)):
        try:
            descriptors = list(Path(f"/proc/{process}/fd").iterdir())
        except PermissionError:
            return True
        except OSError:
            continue
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in wanted:
                    return True
    return False


def _listening(port: int) -> set[str]:
    """Inodes of the sockets that listen on the port."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                    found.add(rest[5])
    return found


def working_in(directory: Path) -> list[int]:
    """Process ids of those whose working directory this is, as far as one may look."""
    return [one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(directory)]


def wait_gone(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait until the processes have ended; those that have not are returned."""
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if is_alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [pid for pid in left if is_alive(pid)]
    return left


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def load_records(path: Path) -> list[Record]:
    """The processes that the last run wrote down; none when there was no run."""
    try:
        return [Record(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []


def dump_records(records: Iterable[Record]) -> str:
    """The text that `load_records` reads."""
    return json.dumps([asdict(record) for record in records], indent=1)


def end_leftovers(path: Path, grace: float = 8.0) -> list[Record]:
    """End the servers that a killed run left behind.

    Args:
        path: the file with the run's records.
        grace: seconds to stop cleanly in, before they are killed.

    Returns:
        Those that were found running.
    """
    records = load_records(path)
    found = [record for record in records if is_ours(record)]
    known = {record.pid for record in found}
    # A run that was killed while it started a server had no time to write down its number.
    found += [
        Record(record.name, pid, record.marker)
        for record in records
        for pid in at_home_in(record.marker)
        if record.pid == 0 and pid not in known
    ]
    everyone = [pid for record in found for pid in (record.pid, *children(record.pid))]
    # Postgres reads SIGTERM as "wait for every client"; SIGINT ends the sessions and shuts down.
    signal_all((record.pid for record in found if record.name == "postgres"), signal.SIGINT)
    signal_all((record.pid for record in found if record.name != "postgres"), signal.SIGTERM)
    left = wait_gone(everyone, grace)
    signal_all(left, signal.SIGKILL)
    wait_gone(left, grace)
    path.unlink(missing_ok=True)
    return found
