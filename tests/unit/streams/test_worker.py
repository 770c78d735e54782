"""The worker's watch over its consumer, whose assignment another thread may change at any time."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from config.settings import WorkerSettings
from domain.failures import Fatal
from streams.contract.message import Partition
from streams.lifecycle import progress_watch
from streams.lifecycle.worker import Worker
from streams.processing.stage import Stage, Subscription

PARTITION = TP("camera.frames", 0)
OURS = {Partition(*PARTITION)}


class Idle(Stage):
    async def process(self, _batch):
        return {}


class Signal:
    def connect(self, _receiver):
        pass


class Consumer:
    """A consumer that fails as one does whose partition has just gone, then recovers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.looks = 0
        self.seen = asyncio.Event()
        self.failure_of_the_group = None

    def group_failure(self):
        return self.failure_of_the_group

    def assignment(self):
        self.looks += 1
        if self.looks > 2:
            self.seen.set()
        return {PARTITION}

    def highwater(self, _tp):
        if self.failures:
            raise self.failures.pop()
        return 0

    async def position(self, _tp):
        return 0

    async def highwaters(self, *_tps):
        return {}

    async def maybe_wait_for_commit_to_finish(self):
        return False

    async def commit(self):
        pass


class App:
    """As much of a Faust app as a worker touches."""

    def __init__(self, consumer):
        self.conf = SimpleNamespace(id="test")
        self.consumer = consumer
        self.rebalancing = False
        self.on_partitions_assigned = Signal()
        self.transport = SimpleNamespace(has_room={}, trackers={}, committable=lambda _tp: None)

    def topic(self, *_args, **_options):
        return None

    def agent(self, *_args, **_options):
        return lambda body: body

    async def start(self):
        pass

    async def stop(self):
        pass

    async def wait_until_stopped(self):
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "failure",
    [
        AssertionError("Partition is not assigned"),
        IllegalStateError("Partition is not assigned"),
        ConsumerNotStarted("Consumer thread not yet started"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_partition_that_goes_while_it_is_looked_at_does_not_end_the_worker(
    monkeypatch, failure
):
    """aiokafka raises each of these when a rebalance comes between two questions."""
    monkeypatch.setattr(progress_watch, "_WATCH_SECONDS", 0.001)
    consumer = Consumer(failure)

    worker = Worker(
        App(consumer), {"camera.frames": Subscription(Idle(), 1, 1)}, None, WorkerSettings()
    )
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await asyncio.wait(
            [running, asyncio.create_task(consumer.seen.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        worker.stop()
        await running


async def test_a_consumer_that_has_left_its_group_for_good_ends_the_worker(monkeypatch):
    """aiokafka ends its membership after an error that it does not expect, and says so nowhere."""
    monkeypatch.setattr(progress_watch, "_WATCH_SECONDS", 0.001)
    consumer = Consumer()
    consumer.failure_of_the_group = AssertionError("Did we not perform bootstrap?")
    worker = Worker(
        App(consumer), {"camera.frames": Subscription(Idle(), 1, 1)}, None, WorkerSettings()
    )
    async with asyncio.timeout(10):
        with pytest.raises(Fatal, match="left its group for good: Did we not perform bootstrap"):
            await worker.run()


@pytest.mark.parametrize("ending", [False, True])
async def test_an_assignment_opens_the_windows_again_unless_the_end_has_begun(ending):
    app = App(Consumer())
    worker = Worker(app, {"camera.frames": Subscription(Idle(), 1, 1)}, None, WorkerSettings())
    has_room = app.transport.has_room["camera.frames"]
    assert has_room(0)
    await app.transport.before_revoked(OURS)
    assert not has_room(0)
    if ending:
        worker.stop()
    app.transport.before_assigned(OURS)
    await asyncio.sleep(0)  # the stage is asked
    assert has_room(0) is not ending


async def test_the_last_commit_is_not_one_that_had_begun_before():
    class Busy(Consumer):
        under_way = 2
        committed = False

        async def maybe_wait_for_commit_to_finish(self):
            self.under_way -= 1
            return self.under_way >= 0

        async def commit(self):
            self.committed = self.under_way < 0

    app = App(Busy())
    Worker(app, {"camera.frames": Subscription(Idle(), 1, 1)}, None, WorkerSettings())
    await app.transport.before_revoked(OURS)
    assert app.consumer.committed


async def test_all_tasks_in_the_background_run_with_the_worker():
    begun = {name: asyncio.Event() for name in ("follow-gallery", "end-visits")}

    def run(name):
        async def until_cancelled():
            begun[name].set()
            await asyncio.Event().wait()

        return until_cancelled

    worker = Worker(
        App(Consumer()),
        {"camera.frames": Subscription(Idle(), 1, 1)},
        None,
        WorkerSettings(),
        background={name: run(name) for name in begun},
    )
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await asyncio.gather(*(event.wait() for event in begun.values()))
        worker.stop()
        await running
