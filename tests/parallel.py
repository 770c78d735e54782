"""Tests in several processes at once: which of them go together, and how all of them end.

Each process of pytest-xdist has servers of its own. The pipeline's workers and the API are started
once a session and use CPU while they run: modules of a folder that need them go to one process,
one after the other. Other modules that need servers can run anywhere, and what needs none goes
where there is room, test by test.
"""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Session fixtures that start programs, and those that start servers.
PROGRAMS = {"workers", "gateway"}
SERVERS = {"stack", "engine"}

#: Tests of what only tests use. They run after those of the product.
HARNESS = (
    "tests/chaos",
    "tests/unit/chaos",
    "tests/unit/benchmarks",
    "tests/unit/test_interrupted.py",
    "tests/unit/test_parallel.py",
)

#: How long the processes have to stop what they have started.
END_SECONDS = 90.0


def arrange(items: Sequence[pytest.Item], root: Path) -> list[pytest.Item]:
    """Mark what goes together, and put first what takes longest: folders, then what waits.

    Tests of the harness come last. A module with a group of its own keeps it.
    """
    last = tuple(str(root / name) for name in HARNESS)
    ranks = {}
    for path, together in itertools.groupby(items, lambda item: item.path):
        module = list(together)
        needed = {name for item in module for name in getattr(item, "fixturenames", ())}
        own = module[0].get_closest_marker("xdist_group")
        name = path.parent.name if needed & PROGRAMS else path.stem
        if own is None and needed & (PROGRAMS | SERVERS):
            for item in module:
                item.add_marker(pytest.mark.xdist_group(name))
        ranks[path] = (
            str(path).startswith(last),
            own is None and not needed & PROGRAMS,
            module[0].get_closest_marker("waits") is None,
            not needed & SERVERS,
        )
    return sorted(items, key=lambda item: ranks[item.path])


class OrderlyEnd:
    """When the run is told to end, its processes end in order before it does.

    On an interrupt pytest-xdist allows them seconds, and then ends them by force: servers would
    stay behind for their guards, containers and directories for good.
    """

    def __init__(self) -> None:
        self._nodes: list[WorkerController] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: "WorkerController") -> None:
        self._nodes.append(node)

    def pytest_keyboard_interrupt(self) -> None:
        until = time.monotonic() + END_SECONDS
        for node in self._nodes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.gateway._rinfo().pid, signal.SIGTERM)  # at most the second one
        for node in self._nodes:
            channel = node.channel
            with contextlib.suppress(OSError, EOFError, channel.RemoteError):  # late, or dead
                channel.waitclose(max(0.0, until - time.monotonic()))
