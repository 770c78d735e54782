import asyncio
from contextlib import asynccontextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery import Partition
from streams.window import Window
from tests.unit.streams.deliveries import Log


@asynccontextmanager
async def running(window):
    task = asyncio.create_task(window.run())
    try:
        yield window
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@settings(max_examples=100)
@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 8),
    overlap=st.integers(1, 4),
    turns=st.lists(st.integers(0, 5), min_size=1),
)
async def test_everything_is_acknowledged_once_and_in_order(count, batch_size, overlap, turns):
    log = Log()
    at_once = most_at_once = 0
    sizes = []

    async def process(batch):
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        sizes.append(len(batch))
        for _ in range(turns[len(sizes) % len(turns)]):
            await asyncio.sleep(0)
        at_once -= 1

    window = Window(process, batch_size=batch_size, batch_wait=0.0, overlap=overlap)
    async with running(window):
        for offset in range(count):
            await window.admit(log.delivery(offset, number=offset % 3))
        assert await window.drain(5)
    assert {n: list(range(n, count, 3)) for n in range(min(3, count))} == log.offsets
    assert sum(sizes) == count
    assert max(sizes) <= batch_size
    assert most_at_once <= overlap


async def test_the_next_batch_starts_while_the_one_before_is_in_work():
    log = Log()
    both = asyncio.Barrier(2)
    release = asyncio.Event()

    async def process(batch):
        await both.wait()
        if batch[0].offset == 0:
            await release.wait()

    async with running(Window(process, batch_size=1, batch_wait=0.0, overlap=2)) as window:
        await window.admit(log.delivery(0))
        await window.admit(log.delivery(1))
        assert not await window.drain(0.05)
        assert log.offsets == {}
        release.set()
        assert await window.drain(5)
    assert log.offsets == {0: [0, 1]}


async def test_a_full_window_makes_the_feeder_wait():
    log = Log()
    release = asyncio.Event()

    async def process(_batch):
        await release.wait()

    async with running(Window(process, batch_size=2, batch_wait=0.0, overlap=1)) as window:

        async def feed():
            for offset in range(10):
                await window.admit(log.delivery(offset))

        feeder = asyncio.create_task(feed())
        _, waiting = await asyncio.wait([feeder], timeout=0.05)
        assert waiting
        assert window.in_flight <= 2 + 2 + 1
        release.set()
        await feeder
        assert await window.drain(5)
    assert log.offsets == {0: list(range(10))}


async def test_a_batch_cut_off_in_the_middle_is_not_acknowledged():
    log = Log()
    started = asyncio.Event()

    async def process(_batch):
        started.set()
        await asyncio.Event().wait()

    async with running(Window(process, batch_size=4, batch_wait=0.0, overlap=1)) as window:
        await window.admit(log.delivery(0))
        await started.wait()
    assert log.offsets == {}
    assert window.in_flight == 1


async def test_a_revoked_partition_no_longer_holds_up_the_drain():
    log = Log()

    async def process(_batch):
        await asyncio.Event().wait()

    async with running(Window(process, batch_size=4, batch_wait=0.0, overlap=1)) as window:
        await window.admit(log.delivery(0))
        assert not await window.drain(0.05)
        window.forget([Partition("camera.frames", 0)])
        assert await window.drain(0.05)
    assert log.offsets == {}
