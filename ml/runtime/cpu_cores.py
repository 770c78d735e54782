"""How many cores there are to work with."""

import os


def available_cores() -> int:
    """Cores this process may use: a cpuset or taskset may grant fewer than there are.

    A quota (Docker's ``--cpus``, a limit of Kubernetes) slows all cores and is not seen here.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1
