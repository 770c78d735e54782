"""CPU time of running processes, out of ``/proc``: unlike a clock, blind to what else runs."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the command's name; see proc_pid_stat(5).
_PARENT, _USER, _SYSTEM, _USER_OF_CHILDREN, _SYSTEM_OF_CHILDREN = 1, 11, 12, 13, 14


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time so far of processes with all their descendants, in seconds.

    Args:
        pids: process ids by name.

    Returns:
        By the same names; empty where there is no ``/proc``.
    """
    stats = {int(path.name): found for path in _processes() if (found := _stat(path)) is not None}
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[_PARENT]), []).append(pid)
    return {name: _sum(pid, stats, children) for name, pid in pids.items() if pid in stats}


def _sum(pid: int, stats: Mapping[int, list[str]], children: Mapping[int, list[int]]) -> float:
    fields = stats[pid]
    ended = int(fields[_USER_OF_CHILDREN]) + int(fields[_SYSTEM_OF_CHILDREN])
    own = int(fields[_USER]) + int(fields[_SYSTEM]) + ended
    return own / _TICKS + sum(_sum(child, stats, children) for child in children.get(pid, ()))


def _processes() -> list[Path]:
    root = Path("/proc")
    return [path for path in root.iterdir() if path.name.isdigit()] if root.is_dir() else []


def _stat(process: Path) -> list[str] | None:
    try:
        text = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it has ended in the meantime
    return text.rpartition(")")[2].split()
