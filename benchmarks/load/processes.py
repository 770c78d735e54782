"""What running processes use, out of ``/proc``: unlike a clock, blind to what else runs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB_PER_MIB = 1024
# Fields of /proc/PID/stat after the command's name; see proc_pid_stat(5).
_PARENT, _FAULTS, _USER, _SYSTEM, _USER_OF_CHILDREN, _SYSTEM_OF_CHILDREN = 1, 7, 11, 12, 13, 14


class Usage(NamedTuple):
    """What a process and all its descendants use.

    Attributes:
        cpu_seconds: CPU time so far, of ended children as well.
        faults: pages of memory so far that were touched for the first time (minor faults).
        private_mib: resident memory that is the process's own: neither files nor shared memory,
            such as the buffers of Postgres, which every one of its processes would count again.
    """

    cpu_seconds: float
    faults: int
    private_mib: float


def usage(pids: Mapping[str, int]) -> dict[str, Usage]:
    """What processes use at this moment.

    Args:
        pids: process ids by name.

    Returns:
        By the same names, without those that have ended; empty where there is no ``/proc``.
    """
    stats = {int(path.name): found for path in _processes() if (found := _stat(path)) is not None}
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[_PARENT]), []).append(pid)
    return {
        name: _sum([_of(one, stats[one]) for one in _family(pid, children)])
        for name, pid in pids.items()
        if pid in stats
    }


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time so far of processes with all their descendants, in seconds; see `usage`."""
    return {name: used.cpu_seconds for name, used in usage(pids).items()}


def _family(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    """A process and its descendants."""
    family = [pid]
    for member in family:
        family += children.get(member, ())
    return family


def _of(pid: int, fields: list[str]) -> Usage:
    spent = (_USER, _SYSTEM, _USER_OF_CHILDREN, _SYSTEM_OF_CHILDREN)
    ticks = sum(int(fields[field]) for field in spent)
    return Usage(ticks / _TICKS, int(fields[_FAULTS]), _private_mib(pid))


def _sum(family: list[Usage]) -> Usage:
    return Usage(
        sum(one.cpu_seconds for one in family),
        sum(one.faults for one in family),
        sum(one.private_mib for one in family),
    )


def _private_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0  # it has ended in the meantime
    found = [line.split()[1] for line in lines.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) / _KIB_PER_MIB if found else 0.0


def _processes() -> list[Path]:
    root = Path("/proc")
    return [path for path in root.iterdir() if path.name.isdigit()] if root.is_dir() else []


def _stat(process: Path) -> list[str] | None:
    try:
        text = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it has ended in the meantime
    return text.rpartition(")")[2].split()
