"""The worker's watch over its consumer, whose assignment another thread may change at any time."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from config.settings import WorkerSettings
from streams import worker as worker_module
from streams.worker import Stage, Worker

PARTITION = TP("camera.frames", 0)


class Signal:
    def connect(self, _receiver):
        pass


class Consumer:
    """A consumer that fails as one does whose partition has just gone, then recovers."""

    def __init__(self, failure):
        self.failures = [failure]
        self.looks = 0
        self.seen = asyncio.Event()

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

    async def commit(self):
        pass

    def stop_flow(self):
        pass


class App:
    """As much of a Faust app as a worker touches."""

    def __init__(self, consumer):
        self.conf = SimpleNamespace(id="test")
        self.consumer = consumer
        self.rebalancing = False
        self.on_partitions_assigned = self.on_partitions_revoked = Signal()
        self.transport = SimpleNamespace(has_room={})
        self.flow_control = SimpleNamespace(suspend=lambda: None, clear=lambda: None)

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
    monkeypatch.setattr(worker_module, "_WATCH_SECONDS", 0.001)
    consumer = Consumer(failure)

    async def handler(_batch):
        return {}

    worker = Worker(App(consumer), {"camera.frames": Stage(handler, 1, 1)}, None, WorkerSettings())
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await asyncio.wait(
            [running, asyncio.create_task(consumer.seen.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        worker.stop()
        await running
