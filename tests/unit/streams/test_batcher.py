import asyncio
from contextlib import asynccontextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contract.message import Partition
from streams.processing.batcher import Batcher, BatchLimits
from streams.processing.waiting_retries import WaitingRetries
from tests.unit.streams.messages import delivery

PARTITION = Partition("camera.frames", 0)


def admit(batcher, offset, number=0):
    """A message as a fetch brings it; returns it."""
    message = delivery(offset, number=number)
    batcher.tracker.fetched(message.partition, [offset], offset + 1)
    batcher.admit(message)
    return message


def committable(batcher, number=0):
    return batcher.tracker.committable(Partition("camera.frames", number))


def idle(batcher):
    return not batcher.tracker.in_flight


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any state of a window
            await asyncio.sleep(0)


def settle(batch, running):
    for message in batch:
        running.done(message)


def limits(batch_size, overlap, **more):
    return BatchLimits(batch_size=batch_size, batch_wait=0.0, overlap=overlap, **more)


@asynccontextmanager
async def running(batcher):
    task = asyncio.create_task(batcher.run())
    try:
        yield batcher
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
async def test_everything_is_done_once_and_can_be_committed(count, batch_size, overlap, turns):
    at_once = most_at_once = 0
    sizes = []

    async def process(batch, running):
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        sizes.append(len(batch))
        for _ in range(turns[len(sizes) % len(turns)]):
            await asyncio.sleep(0)
        at_once -= 1
        settle(batch, running)

    batcher = Batcher(process, limits(batch_size, overlap))
    async with running(batcher):
        for offset in range(count):
            admit(batcher, offset, number=offset % 3)
        await until(lambda: idle(batcher))
        for number in range(min(3, count)):
            assert committable(batcher, number) == max(range(number, count, 3)) + 1
    assert sum(sizes) == count
    assert max(sizes) <= batch_size
    assert most_at_once <= overlap


async def test_the_next_batch_starts_while_the_one_before_is_in_work():
    both = asyncio.Barrier(3)
    release = asyncio.Event()

    async def process(batch, running):
        await both.wait()
        if batch[0].offset == 0:
            await release.wait()
        settle(batch, running)

    async with running(Batcher(process, limits(1, 2))) as batcher:
        admit(batcher, 0)
        admit(batcher, 1)
        await both.wait()
        assert committable(batcher) == 0
        release.set()
        await until(lambda: idle(batcher))
        assert committable(batcher) == 2


async def test_a_full_window_has_no_room_until_a_batch_begins():
    release = asyncio.Event()

    async def process(batch, running):
        await release.wait()
        settle(batch, running)

    async with running(Batcher(process, limits(2, 1, ahead=4))) as batcher:
        offset = 0
        while batcher.has_room(PARTITION):
            admit(batcher, offset)
            offset += 1
            await asyncio.sleep(0)
        assert 4 <= offset <= 4 + 2 + 2
        release.set()
        await until(lambda: committable(batcher) == offset)
        assert batcher.has_room(PARTITION)


async def test_a_partition_held_by_one_message_is_full_and_the_others_are_not():
    """Bounded memory: what is finished behind a message that waits cannot be acknowledged."""

    async def process(batch, running):
        rest = [
            message for message in batch if (message.partition.number, message.offset) != (0, 0)
        ]
        settle(rest, running)
        if len(rest) < len(batch):
            running.release_slot()
            await asyncio.Event().wait()

    async with running(Batcher(process, limits(2, 1, held=5))) as batcher:
        for offset in range(5):
            assert batcher.has_room(PARTITION)
            admit(batcher, offset, number=0)
        admit(batcher, 0, number=1)
        await until(lambda: committable(batcher, 1) == 1)
        assert not batcher.has_room(PARTITION)
        assert batcher.has_room(Partition("camera.frames", 1))
        assert batcher.tracker.in_flight == 5


async def test_batches_that_stepped_aside_are_not_unlimited():

    aside = []

    async def process(batch, running):
        running.release_slot()
        aside.extend(batch)
        await asyncio.Event().wait()

    async with running(Batcher(process, limits(1, 1, ahead=3))) as batcher:
        for offset in range(3):
            admit(batcher, offset)
        await until(lambda: len(aside) == 3)
        assert not batcher.has_room(PARTITION)


@given(
    cameras=st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30),
    in_work=st.integers(0, 8),
)
async def test_a_drain_lets_nothing_be_committed_past_what_was_not_begun(cameras, in_work):
    """Stale ones are finished before older ones of other cameras have begun."""
    order = [delivery(offset, number=number) for offset, (number, _) in enumerate(cameras)]
    stale = {one for one, (_, dropped) in zip(order, cameras, strict=True) if dropped}
    release = asyncio.Event()
    begun = []

    async def process(batch, running):
        begun.extend(batch)
        await release.wait()
        settle(batch, running)

    def shed(waiting):
        return [one for one in waiting if one in stale]

    batcher = Batcher(process, limits(1, in_work + 1), shed)
    for one in order:
        batcher.tracker.fetched(one.partition, [one.offset], one.offset + 1)
        batcher.admit(one)
    async with running(batcher):
        await until(lambda: len(begun) == min(in_work + 1, len(order) - len(stale)))
        draining = asyncio.create_task(batcher.drain(5))
        await asyncio.sleep(0)
        release.set()
        assert await draining
    done = {*begun, *stale}
    for number in {number for number, _ in cameras}:
        left = [one.offset for one in order if one.partition.number == number and one not in done]
        assert committable(batcher, number) <= min(left, default=len(order))


async def test_a_drain_begins_nothing_and_waits_for_what_is_in_work():
    release = asyncio.Event()

    async def process(batch, running):
        await release.wait()
        settle(batch, running)

    async with running(Batcher(process, limits(1, 1))) as batcher:
        for offset in range(5):
            admit(batcher, offset)
        await until(lambda: len(batcher._waiting) < 5)
        draining = asyncio.create_task(batcher.drain(5))
        await asyncio.sleep(0)
        release.set()
        assert await draining
    assert committable(batcher) in {1, 2}


async def test_a_silent_batch_is_noticed_and_a_retrying_one_is_not():
    begun = []

    async def process(_batch, running):
        begun.append(running)
        await asyncio.Event().wait()

    async with running(Batcher(process, limits(1, 1))) as batcher:
        assert batcher.silent_for() == 0
        admit(batcher, 0)
        await until(lambda: begun)
        begun[0].beat_at -= 100
        assert batcher.silent_for() > 99
        begun[0].beat()
        assert batcher.silent_for() < 1


async def test_a_batch_cut_off_in_the_middle_is_not_committed():
    started = asyncio.Event()

    async def process(_batch, _ticket):
        started.set()
        await asyncio.Event().wait()

    async with running(Batcher(process, limits(4, 1))) as batcher:
        admit(batcher, 0)
        await started.wait()
    assert committable(batcher) == 0
    assert batcher.tracker.in_flight == 1


async def test_a_revoked_partition_no_longer_holds_up_the_drain():

    async def process(_batch, _ticket):
        await asyncio.Event().wait()

    async with running(Batcher(process, limits(4, 1))) as batcher:
        admit(batcher, 0)
        await until(lambda: not batcher._waiting)
        assert not await batcher.drain(0.05)
        await batcher.forget([Partition("camera.frames", 0)])
        assert await batcher.drain(0.05)
    assert committable(batcher) is None


async def test_what_comes_after_a_drain_is_not_begun_until_the_batcher_opens_again():
    begun = []

    async def process(batch, running):
        begun.extend(one.offset for one in batch)
        settle(batch, running)

    async with running(Batcher(process, limits(1, 1))) as batcher:
        admit(batcher, 0)
        await until(lambda: idle(batcher))
        assert await batcher.drain(5)
        assert not batcher.has_room(PARTITION)
        admit(batcher, 1)
        assert idle(batcher)
        batcher.reopen()
        assert batcher.has_room(PARTITION)
        admit(batcher, 2)
        await until(lambda: not batcher.tracker.unfinished)
    assert begun == [0, 2]
    assert committable(batcher) == 1


async def test_field_27_a_drain_does_not_wait_for_what_waits_for_a_retry():
    pauses, begun = WaitingRetries(), asyncio.Event()

    async def process(batch, _ticket):
        with pauses.of(len(batch)):
            begun.set()
            await asyncio.Event().wait()

    async with running(Batcher(process, limits(2, 1), pauses=pauses)) as batcher:
        admit(batcher, 0)
        await begun.wait()
        assert not await asyncio.wait_for(batcher.drain(60), 5)
        batcher.reopen()
        admit(batcher, 1)
        assert not await asyncio.wait_for(batcher.drain(60), 5)
    assert committable(batcher) == 0


async def test_field_27_a_drain_waits_for_work_other_than_retries():
    pauses, go, begun = WaitingRetries(), asyncio.Event(), []

    async def process(batch, running):
        (message,) = batch
        begun.append(message)
        if message.partition.number == 0:
            with pauses.of(1):
                await asyncio.Event().wait()
        await go.wait()
        running.done(message)

    async with running(Batcher(process, limits(1, 2), pauses=pauses)) as batcher:
        admit(batcher, 0, number=0)
        admit(batcher, 0, number=1)
        await until(lambda: len(begun) == 2)
        draining = asyncio.create_task(batcher.drain(60))
        await asyncio.sleep(0.05)
        assert not draining.done()
        go.set()
        assert not await asyncio.wait_for(draining, 5)
    assert (committable(batcher, 0), committable(batcher, 1)) == (0, 1)
