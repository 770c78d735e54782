"""Tests in several processes at once: which of them go together, and how all of them end.

Each process of pytest-xdist has servers of its own, and starts the pipeline's workers and the API
once a session if a test needs them. The API's folders stay together, so that few processes do.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Folders whose modules use the same API and browser, and a long module that does better alone.
TOGETHER = {PurePosixPath("tests/end_to_end/api"), PurePosixPath("tests/end_to_end/console")}
ALONE = {PurePosixPath("tests/end_to_end/api/test_contract.py")}

#: Long tests of which each starts servers of its own.
APART = PurePosixPath("tests/chaos")

#: Modules that read whole stores again and again: they run first, while the stores are small.
SMALL_STORES = (
    "tests/contract/test_reconcile.py",
    "tests/contract/test_retention.py",
    "tests/end_to_end/test_erasure.py",
)

#: Tests of what only tests use. They run after those of the product.
HARNESS = (
    "tests/chaos",
    "tests/harness",
    "tests/unit/chaos",
    "tests/unit/benchmarks",
)

#: How long the processes have to stop what they have started.
END_SECONDS = 90.0


def scope(nodeid: str) -> str:
    """What a test goes together with: its module, or the folder whose modules share programs."""
    path = PurePosixPath(nodeid.partition("::")[0])
    if path.parent == APART:
        return nodeid
    shared = path.parent in TOGETHER and path not in ALONE
    return str(path.parent if shared else path)


def arrange(items: Sequence[pytest.Item], root: Path) -> list[pytest.Item]:
    """Put first what needs small stores, then what takes longest: shared folders, what waits.

    Tests of the harness are last.
    """
    first = {root / name for name in SMALL_STORES}
    last = tuple(str(root / name) for name in HARNESS)

    def rank(item: pytest.Item) -> tuple[bool, bool, bool, bool]:
        path = item.path
        folders = {root / name for name in (*TOGETHER, *ALONE)}
        long = path in folders or path.parent in folders
        return (
            str(path).startswith(last),
            path not in first,
            not long,
            item.get_closest_marker("waits") is None,
        )

    return sorted(items, key=rank)


class Parallel:
    """The parts that the starting process has.

    When the run is interrupted, its processes end normally before it does.

    On an interrupt pytest-xdist allows them seconds, and then ends them by force: servers would
    stay behind for their guards, containers and directories for good.
    """

    def __init__(self) -> None:
        self._nodes: list[WorkerController] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: object) -> object | None:
        """pytest-xdist's own groups (``loadgroup`` of 3.8) have no effect under pytest 9.2."""
        if config.getvalue("dist") != "loadscope":
            return None
        from xdist.scheduler import LoadScopeScheduling

        class ByScope(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:
                return scope(nodeid)

        return ByScope(config, log)

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
