"""A stage is ready before its first message is processed, and forgets after the last."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from domain.failures import Fatal, Retry
from streams.contract.message import Partition
from streams.lifecycle.stage_life import StageLife
from streams.processing.batcher import Batcher, BatchLimits
from streams.processing.lasting_retries import LastingRetries
from streams.processing.retry_policy import RetryPolicy
from streams.processing.stage import Stage
from tests.unit.streams.messages import delivery

FRAMES, UPLOADS = Partition("camera.frames", 0), Partition("photo.uploads", 0)


class Noting(Stage):
    """Notes what it is called with; gets ready when it may."""

    def __init__(self, failures=()):
        self.calls = []
        self.failures = list(failures)
        self.store_is_back = asyncio.Event()
        self.store_is_back.set()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.forgetting = None

    async def assigned(self, partitions):
        self.calls.append(("assigned", *partitions))
        await self.store_is_back.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(("ready", *partitions))

    async def process(self, batch):
        self.calls.append(("process", *(message.offset for message in batch)))
        await self.go_on.wait()
        self.calls.append(("processed", *(message.offset for message in batch)))
        return {}

    async def revoked(self, partitions):
        self.calls.append(("revoked", *partitions))
        if self.forgetting is not None:
            raise self.forgetting


@asynccontextmanager
async def living(stage, on_fatal=pytest.fail):
    async def process(batch, running):
        await stage.process(batch)
        for message in batch:
            running.done(message)

    batcher = Batcher(process, BatchLimits(batch_size=1, batch_wait=0.0, overlap=2))
    life = StageLife(
        "camera.frames",
        stage,
        batcher,
        policy=RetryPolicy(0.001, 0.001),
        lasting_retries=LastingRetries(patience=0),
        on_fatal=on_fatal,
    )
    task = asyncio.create_task(batcher.run())
    try:
        yield life, batcher
    finally:
        task.cancel()
        await life.end()
        await asyncio.gather(task, return_exceptions=True)


def admit(batcher, offset):
    batcher.tracker.fetched(FRAMES, [offset], offset + 1)
    batcher.admit(delivery(offset))


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any state of a stage
            await asyncio.sleep(0)


async def test_no_message_is_processed_before_the_stage_is_ready():
    stage = Noting([Retry("away"), Retry("away")])
    stage.store_is_back.clear()
    async with living(stage) as (life, batcher):
        life.assign([FRAMES, UPLOADS])
        admit(batcher, 0)  # a fetch may be quicker than the stage
        for _ in range(10):
            await asyncio.sleep(0)
        assert stage.calls == [("assigned", FRAMES)]
        assert not batcher.has_room(FRAMES)
        stage.store_is_back.set()
        await until(lambda: ("processed", 0) in stage.calls)
    assert stage.calls == [
        *[("assigned", FRAMES)] * 3,
        ("ready", FRAMES),
        ("process", 0),
        ("processed", 0),
        ("revoked", FRAMES),
    ]


async def test_the_stage_forgets_after_the_drain_and_what_is_left_of_it_is_cut_off():
    stage = Noting()
    async with living(stage) as (life, batcher):
        life.assign([FRAMES])
        admit(batcher, 0)
        admit(batcher, 1)
        await until(lambda: ("process", 1) in stage.calls)
        stage.go_on.clear()
        admit(batcher, 2)
        admit(batcher, 3)
        await until(lambda: ("process", 3) in stage.calls)
        assert not await batcher.drain(0.01)
        await life.revoke([FRAMES])
        stage.go_on.set()
        await asyncio.sleep(0.01)
        assert stage.calls[-1] == ("revoked", FRAMES)
        assert ("processed", 2) not in stage.calls
        assert batcher.silent_for() == 0


async def test_a_stage_that_is_assigned_again_gets_ready_again():
    stage = Noting()
    async with living(stage) as (life, batcher):
        for offset in range(2):
            life.assign([FRAMES])
            admit(batcher, offset)
            await until(lambda: ("processed", offset) in stage.calls)  # noqa: B023 - awaited at once
            await batcher.drain(1)
            await life.revoke([FRAMES])
            batcher.tracker.restart()
    assert [call[0] for call in stage.calls] == [
        *("assigned", "ready", "process", "processed", "revoked") * 2
    ]


async def test_a_rebalance_does_not_wait_for_a_stage_that_is_not_ready():
    stage = Noting()
    stage.store_is_back.clear()
    async with living(stage) as (life, _):
        life.assign([FRAMES])
        await until(lambda: stage.calls)
        async with asyncio.timeout(1):
            await life.revoke([FRAMES])
        assert stage.calls == [("assigned", FRAMES), ("revoked", FRAMES)]


async def test_a_worker_without_partitions_of_the_topic_asks_its_stage_nothing():
    stage = Noting()
    async with living(stage) as (life, batcher):
        life.assign([UPLOADS])
        await asyncio.sleep(0)
        await life.revoke([UPLOADS])
        assert batcher.has_room(FRAMES)
    assert stage.calls == []


@pytest.mark.parametrize("failure", [Fatal("wrong key"), ZeroDivisionError("our own")])
async def test_a_stage_that_cannot_get_ready_ends_the_worker(failure):
    failures = []
    stage = Noting([failure])
    async with living(stage, failures.append) as (life, batcher):
        life.assign([FRAMES])
        await until(lambda: failures)
        assert not batcher.has_room(FRAMES)
    assert str(failure) in str(failures[0])


async def test_a_stage_that_does_not_forget_holds_up_no_rebalance(caplog):
    stage = Noting()
    stage.forgetting = ZeroDivisionError("our own")
    async with living(stage) as (life, _):
        life.assign([FRAMES])
        await until(lambda: ("ready", FRAMES) in stage.calls)
        await life.revoke([FRAMES])
        stage.forgetting = None
    assert "did not drop" in caplog.text


async def test_a_cancellation_that_comes_from_a_library_is_retried():
    stage = Noting([asyncio.CancelledError()])
    async with living(stage) as (life, _):
        life.assign([FRAMES])
        await until(lambda: ("ready", FRAMES) in stage.calls)
