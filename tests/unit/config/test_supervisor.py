"""Background tasks go on, whatever ends them, and every task of the sources is one of them."""

import ast
import asyncio
import logging
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from config.tasks import supervisor as supervisor_module
from config.tasks.supervisor import Supervisor

ROOT = Path(__file__).parents[3]

#: Where tasks are started outside the supervisor, and why each of them cannot end unseen.
AWAITED = {
    "config/tasks/supervisor.py": "the supervisor itself",
    "sinks/postgres/keepalive.py": "lives as long as a transaction, whose end awaits it",
    "streams/lifecycle/worker.py": "waited for together; the end of any of them ends the worker",
    "streams/lifecycle/worker_group.py": "awaited, and its end stops the worker that leads",
    "infra/cameras/frame_publisher.py": "each delivery is counted, and flush waits for all",
    "infra/cameras/player.py": "closes a source when playing stops; cancelled with it",
    "infra/demo/run.py": "steps of a command that awaits them",
    "benchmarks/gallery/search.py": "a thread waits for its result",
    "streams/lifecycle/stage_life.py": "it handles its errors itself, and `revoke` ends it",
}
STARTERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def groups(tree):
    """Names that an ``asyncio.TaskGroup`` is bound to: what it starts, it awaits."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                if "TaskGroup" in ast.unparse(item.context_expr) and item.optional_vars:
                    yield ast.unparse(item.optional_vars)


def bare_tasks(source):
    tree = ast.parse(source)
    grouped = set(groups(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        receiver, _, called = name.rpartition(".")
        if called in STARTERS and receiver not in grouped:
            yield name


def sources():
    for path in ROOT.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if not name.startswith((".", "tests/")) and "site-packages" not in name:
            yield name, path.read_text()


def test_field_10_no_task_is_started_outside_the_supervisor():
    found = {name for name, source in sources() if list(bare_tasks(source))}
    assert found == set(AWAITED)


@pytest.mark.parametrize(
    "source",
    [
        "asyncio.create_task(f())",
        "loop.create_task(f())",
        "asyncio.ensure_future(f())",
        "from asyncio import create_task\ncreate_task(f())",
    ],
)
def test_field_10_the_rule_sees_every_way_to_start_a_task(source):
    assert list(bare_tasks(source))


def test_field_10_tasks_of_a_group_are_awaited():
    assert not list(
        bare_tasks("async def f():\n async with asyncio.TaskGroup() as g:\n  g.create_task(x())")
    )


def restarts(task):
    return REGISTRY.get_sample_value("fecapass_task_restarts_total", {"task": task})


class Failing:
    """A task that fails some times, and then runs."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.runs = asyncio.Event()

    async def __call__(self):
        if self.failures:
            failure = self.failures.pop(0)
            if failure is None:
                return
            raise failure
        self.runs.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("unable to perform operation; the handler is closed"),
        OSError("connection reset"),
        ValueError("no plan"),
        asyncio.CancelledError(),
        asyncio.InvalidStateError(),
        None,
    ],
    ids=repr,
)
async def test_field_10_a_task_that_ends_is_started_again(failure, caplog):
    supervised = Supervisor()
    task = Failing(failure, failure)
    before = restarts("test-restart") or 0
    supervised.start("test-restart", task, expected=(OSError,), first_pause=0.001)
    async with asyncio.timeout(10):
        await task.runs.wait()
    (state,) = supervised.states()
    assert state.restarts == 2
    assert state.failing, "it was started again only just now"
    assert state.expected is isinstance(failure, OSError)
    assert restarts("test-restart") == before + 2
    ours = [record for record in caplog.records if "test-restart" in record.getMessage()]
    assert len(ours) == 2
    expected = logging.WARNING if isinstance(failure, OSError) else logging.ERROR
    assert {record.levelno for record in ours} == {expected}
    await supervised.close()


async def test_field_10_a_task_that_runs_steadily_is_well_again(monkeypatch):
    monkeypatch.setattr(supervisor_module, "STEADY_SECONDS", 0.0)
    supervised = Supervisor()
    task = Failing(OSError())
    supervised.start("test-steady", task, first_pause=0.001)
    async with asyncio.timeout(10):
        await task.runs.wait()
    (state,) = supervised.states()
    assert not state.failing
    assert (state.restarts, state.error) == (1, "OSError")
    await supervised.close()


async def test_field_10_pauses_grow_to_their_bound(monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 8:
            await asyncio.Event().wait()

    monkeypatch.setattr(supervisor_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(supervisor_module, "_JITTER", 0.0)
    supervised = Supervisor()
    supervised.start("test-pauses", Failing(*[OSError()] * 9), first_pause=1, longest_pause=5)
    while len(pauses) < 8:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)
    assert pauses == [1, 2, 4, 5, 5, 5, 5, 5]
    await supervised.close()


async def test_field_10_closing_ends_a_task_that_swallows_its_cancellation(monkeypatch):
    monkeypatch.setattr(supervisor_module, "_CANCEL_PATIENCE", 0.01)
    started = asyncio.Event()

    async def deaf():
        for _ in range(3):
            try:
                started.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        raise AssertionError("not reached in time")

    supervised = Supervisor()
    supervised.start("test-deaf", deaf)
    await started.wait()
    async with asyncio.timeout(5):
        await supervised.close()
    assert supervised.states() == []


async def test_field_10_closing_lets_a_task_close_what_it_has():
    """A second cancellation would leave its consumer open, if that takes a moment to stop."""
    started, closed = asyncio.Event(), asyncio.Event()

    async def reading():
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)
            closed.set()

    supervised = Supervisor()
    supervised.start("test-closing", reading)
    await started.wait()
    async with asyncio.timeout(5):
        await supervised.close()
    assert closed.is_set()


async def test_field_10_closing_ends_though_a_task_does_not(monkeypatch, caplog):
    monkeypatch.setattr(supervisor_module, "_CANCEL_PATIENCE", 0.01)
    started, release, runs = asyncio.Event(), asyncio.Event(), []

    async def deaf():
        runs.append(asyncio.current_task())
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervised = Supervisor()
    supervised.start("test-stuck", deaf, first_pause=0.001)
    await started.wait()
    try:
        async with asyncio.timeout(5):
            await supervised.close()
        assert "the task test-stuck does not end" in caplog.text
    finally:
        release.set()
        await asyncio.wait(runs, timeout=5)
    assert len(runs) == 1, "what ends after the closing is not started again"


async def test_field_10_a_name_is_taken_once():
    supervised = Supervisor()
    supervised.start("test-name", Failing())
    with pytest.raises(ValueError, match="test-name"):
        supervised.start("test-name", Failing())
    await supervised.close()
