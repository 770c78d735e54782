"""Each way in which plain Faust loses events, or a worker stands still, does not happen here.

The table of these hazards stands in docs/decisions/0001 and 0011. Every test fails when the
protection that it names is taken out.
"""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.end_to_end.delivery import bench, until

pytestmark = pytest.mark.waits


@pytest.fixture
async def own(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as made:
        yield made


def numbers(addresses):
    return sorted(int(address.rpartition("/")[2]) for address in addresses)


async def test_a_body_that_raises_loses_no_event(own):
    """``async for``: Faust acknowledges the event. Protection: `GuardedHandler`'s boundary."""
    await own.publish("ok", "raise", "ok", "ok")
    worker = own.start()
    await until(lambda: len(own.noted("done")) == 3)
    await until(lambda: committed_is(own, 4))
    (letter,) = await own.letters()
    assert (letter.value, dict(letter.headers)["dlq_reason"]) == (b"raise", b"unexpected_error")
    assert dict(letter.headers)["dlq_attempts"] == b"3"
    assert worker.returncode is None


async def test_a_body_that_raises_on_a_batch_loses_none_of_it(own):
    """``take(n)``: Faust acknowledges the whole batch. Protection: one by one."""
    await own.publish("ok", "ok", "raise", "ok", "ok", "raise", "ok", "ok")
    own.start(BATCH_SIZE="8", WORKERS__BATCH_WAIT="1")
    await until(lambda: set(numbers(own.noted("done"))) == {0, 1, 3, 4, 6, 7})
    await until(lambda: committed_is(own, 8))
    assert [letter.value for letter in await own.letters()] == [b"raise", b"raise"]


async def test_a_failing_event_is_not_committed_past_and_does_not_hold_up_sigterm(own):
    """``noack`` with own acknowledgement: later ones commit past the gap, SIGTERM hangs."""
    back = own.folder / "back"
    await own.publish(f"wait {back}", "ok", "ok", "ok")
    worker = own.start(OVERLAP="3", WORKERS__STOP_TIMEOUT="2")
    await until(lambda: numbers(own.noted("done")) == [1, 2, 3])
    await asyncio.sleep(1)  # several commit intervals
    assert await own.committed() == 0
    worker.send(signal.SIGTERM)
    code, seconds = await worker.ended(30)
    assert (code, seconds < 10) == (0, True)
    assert await own.committed() == 0
    back.touch()
    own.start()
    await until(lambda: 0 in numbers(own.noted("done")))
    await until(lambda: committed_is(own, 4))


async def test_overlapping_work_is_not_committed_past_a_slow_event(own):
    """``concurrency=2`` and SIGKILL. Protection: `InOrderAcknowledger`."""
    await own.publish("slow 8", "ok", "ok", "ok")
    worker = own.start(OVERLAP="3")
    await until(lambda: numbers(own.noted("done")) == [1, 2, 3])
    await asyncio.sleep(1)  # several commit intervals
    assert await own.committed() == 0
    worker.send(signal.SIGKILL)
    await worker.ended(10)
    own.start()
    await until(lambda: 0 in numbers(own.noted("done")))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_slow_event_survives_the_end_of_its_worker(own, number):
    await own.publish("slow 3", "ok")
    worker = own.start()
    await until(lambda: own.noted("begin"))
    worker.send(number)
    code, seconds = await worker.ended(20)
    if number == signal.SIGTERM:
        # What was begun is finished and committed, what was not is left.
        assert (code, seconds > 1, numbers(own.noted("done"))) == (0, True, [0])
        assert await own.committed() == 1
    own.start()
    await until(lambda: numbers(own.noted("done")) == [0, 1])


async def test_a_consumer_that_stops_fetching_ends_its_worker(own):
    """Faust issues 175, 523, 532, 629. Protection: `StallDetector` and the broker's own ends."""
    mute = own.folder / "mute"
    await own.publish("ok")
    worker = own.start(MUTE=str(mute), WORKERS__STALL_TIMEOUT="3")
    await until(lambda: own.noted("done"))
    mute.touch()
    await asyncio.sleep(1.5)  # a fetch that has begun still takes in what comes
    await own.publish("ok")
    code, _ = await worker.ended(60)
    assert code == 1
    assert "fatal: no progress on 1 partition(s)" in worker.tail()


async def test_a_consumer_that_never_fetched_ends_its_worker(own):
    """Nothing is known of the partition from a fetch, for there was none."""
    mute = own.folder / "mute"
    mute.touch()
    await own.publish("ok", "ok")
    worker = own.start(MUTE=str(mute), WORKERS__STALL_TIMEOUT="3")
    code, _ = await worker.ended(60)
    assert code == 1
    assert "fatal: no progress" in worker.tail()


async def test_a_hung_batch_ends_its_worker_even_if_a_thread_of_it_hangs(own):
    """Protection: `Batcher.silent_for`, and `ShutdownDeadline`."""
    await own.publish("hang")
    worker = own.start(WORKERS__BATCH_TIMEOUT="2", WORKERS__STOP_TIMEOUT="1")
    await until(lambda: own.noted("begin"))
    code, seconds = await worker.ended(40)
    assert (code, seconds < 20) == (1, True)
    assert "hangs: neither an outcome nor a retry" in worker.log.read_text()
    assert await own.committed() == 0


async def test_an_outage_is_no_hang_and_no_stall(own):
    back = own.folder / "back"
    await own.publish(f"wait {back}", "ok", "ok")
    worker = own.start(WORKERS__BATCH_TIMEOUT="2", WORKERS__STALL_TIMEOUT="2")
    await until(lambda: own.noted("begin"))
    await asyncio.sleep(10)
    assert worker.returncode is None, worker.tail()
    back.touch()
    await until(lambda: numbers(own.noted("done")) == [0, 1, 2])


async def test_partitions_are_held_through_an_outage_longer_than_any_timeout(own):
    """A full buffer stops Faust's fetching for all topics. Protection: flow control of our own."""
    back = own.folder / "back"
    await own.publish(*[f"wait {back}"] * 120)
    own.start(OVERLAP="2", BATCH_SIZE="4", KAFKA__SESSION_TIMEOUT="6")
    await until(lambda: own.noted("begin"))
    await asyncio.sleep(15)
    addresses = await own.publish("ok", topic=own.topics.uploads)
    await until(lambda: addresses[0] in own.noted("done"), 30)
    assert len(own.noted("assigned")) == 1
    back.touch()
    frames = [f"{own.topics.frames}/0/{offset}" for offset in range(120)]
    await until(lambda: set(frames) <= set(own.noted("done")))
    assert len(own.noted("done")) == len(set(own.noted("done"))) == 121
    assert len(own.noted("assigned")) == 1


async def test_the_group_is_not_left_while_nothing_at_all_can_go_on(own):
    """aiokafka leaves when nothing is fetched for long. Protection: ``max_poll_interval``."""
    back = own.folder / "back"
    for topic in (own.topics.frames, own.topics.uploads):
        await own.publish(*[f"wait {back}"] * 100, topic=topic)
    own.start(OVERLAP="2", BATCH_SIZE="4", KAFKA__SESSION_TIMEOUT="6")
    await until(lambda: len(own.noted("begin")) > 4)
    await asyncio.sleep(15)
    back.touch()
    await until(lambda: len(set(own.noted("done"))) == 200)
    assert len(own.noted("done")) == 200
    assert len(own.noted("assigned")) == 1


async def test_memory_is_bounded_while_a_store_is_away(own):
    """Faust would take in 4096 messages, frames or not."""
    back = own.folder / "back"
    await own.publish(*[f"wait {back}"] * 600)
    worker = own.start(WORKERS__BUFFER_MESSAGES="16", BATCH_SIZE="4", OVERLAP="2")
    await until(lambda: own.noted("begin"))
    await asyncio.sleep(3)
    taken = await worker.metric("fecapass_in_flight_messages{")
    assert 16 <= taken <= 16 + 16 + 2 * 4 + 1
    back.touch()
    await until(lambda: len(set(own.noted("done"))) == 600)


async def test_two_workers_share_a_host_and_only_health_listens(own):
    """Faust's web server binds 0.0.0.0:6066. Protection: ``web_enabled`` in an app of our own."""
    await own.publish("ok", partition=0)
    await own.publish("ok", partition=1)
    workers = [own.start(), own.start()]
    await until(lambda: len(set(own.noted("assigned"))) == 2)
    await until(lambda: len(set(own.noted("done"))) == 2)
    for worker in workers:
        assert worker.returncode is None
        assert listening(worker.pid) == {("0100007F", int(worker.address.rpartition(":")[2]))}


def listening(pid):
    """Addresses (as the kernel writes them) and ports on which a process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


async def committed_is(own, offset, partition=0):
    return await own.committed(partition=partition) == offset


async def test_what_was_done_since_the_last_commit_is_not_done_again_after_a_rebalance(own):
    """Faust drops what it has not committed, then says so. Protection: `before_revoked`."""
    sent = [
        *await own.publish(*["ok"] * 5, partition=0),
        *await own.publish(*["ok"] * 5, partition=1),
    ]
    own.start(KAFKA__COMMIT_INTERVAL="60")
    await until(lambda: len(own.noted("done")) == 10)
    own.start(KAFKA__COMMIT_INTERVAL="60")
    await until(lambda: len(own.noted("assigned")) == 3)
    assert [await own.committed(partition=number) for number in (0, 1)] == [5, 5]
    sent += await own.publish("ok", partition=0)
    sent += await own.publish("ok", partition=1)
    await until(lambda: set(own.noted("done")) == set(sent))
    assert sorted(own.noted("done")) == sorted(sent)


async def test_a_batch_that_comes_late_hides_none_that_was_dropped_before_it(own):
    """A rebalance drops what waits; a fetch of before it comes through after it.

    Protection: the worker commits by what was fetched, and a fetch of before the last rebalance
    counts for nothing.
    """
    back, late, mute = own.folder / "back", own.folder / "late", own.folder / "mute"
    sent = []
    for partition in (0, 1):
        sent += await own.publish(f"wait {back}", *["ok"] * 4, partition=partition)
    worker = own.start(MUTE=str(mute), LATE=str(late))
    await until(lambda: own.noted("begin"))
    await until(lambda: taken_in(worker, 10))
    mute.touch()
    await until(lambda: own.noted("muted"))
    for partition in (0, 1):
        sent += await own.publish(*["ok"] * 5, partition=partition)
    late.touch()
    mute.unlink()
    await until(lambda: own.noted("held"))
    own.start()
    await until(lambda: len(own.noted("assigned")) == 3)
    back.touch()
    late.unlink()

    async def all_is_done():
        for partition in (0, 1):
            committed = await own.committed(partition=partition)
            done = set(own.noted("done"))
            for offset in range(committed):
                assert f"{own.topics.frames}/{partition}/{offset}" in done
        return set(own.noted("done")) == set(sent)

    await until(all_is_done)
    for partition in (0, 1):
        await until(lambda: committed_is(own, 10, partition))  # noqa: B023 - awaited at once
    assert worker.returncode is None, worker.tail()


async def taken_in(worker, count):
    return await worker.metric("fecapass_in_flight_messages{") == count
