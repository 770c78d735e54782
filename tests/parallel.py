"""Tests in several processes at once: which of them go together, and how all of them end.

Each process of pytest-xdist has servers of its own. The pipeline's workers and the API are started
once a session, and use CPU while they run: all tests that need the same ones go to one process,
one module after the other. Every other module can run anywhere.
"""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Session fixtures that start programs, the one that brings the most first.
SHARED = {"gateway": "api", "workers": "pipeline"}

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


def in_order(items: Sequence[pytest.Item], root: Path) -> list[pytest.Item]:
    """Tests of the product first; among them, those that wait long or need most servers first."""

    last = tuple(str(root / name) for name in HARNESS)

    def rank(item: pytest.Item) -> tuple[bool, bool]:
        return str(item.path).startswith(last), item.get_closest_marker("waits") is None

    return sorted(items, key=rank)


def group(items: Iterable[pytest.Item]) -> None:
    """Mark each test with what it goes together with: a shared program, or else its module."""
    for path, module in itertools.groupby(items, lambda item: item.path):
        together = list(module)
        needed = {name for item in together for name in getattr(item, "fixturenames", ())}
        name = next((SHARED[each] for each in SHARED if each in needed), path.stem)
        for item in together:
            item.add_marker(pytest.mark.xdist_group(name))


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
