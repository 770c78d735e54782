"""How many cores there are to work with."""

import os


def available_cores() -> int:
    """Cores this process may use: a container or taskset may grant fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
