from hypothesis import given
from hypothesis import strategies as st

from streams.contract.message import Partition
from streams.processing.ordered_ack import InOrderAcknowledger
from tests.unit.streams.messages import Log


@given(data=st.data(), counts=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_each_partition_is_acknowledged_in_order_whatever_finishes_first(data, counts):
    log = Log()
    acknowledger = InOrderAcknowledger()
    messages = [
        log.delivery(offset, number)
        for number, count in enumerate(counts)
        for offset in range(count)
    ]
    for message in messages:
        acknowledger.track(message)
    finished = set()
    for message in data.draw(st.permutations(messages)):
        acknowledger.done(message)
        finished.add((message.partition.number, message.offset))
        for number, offsets in log.offsets.items():
            assert offsets == list(range(len(offsets)))
            assert all((number, offset) in finished for offset in offsets)
    assert log.offsets == {number: list(range(count)) for number, count in enumerate(counts)}
    assert len(acknowledger) == 0


def test_a_message_behind_an_unfinished_one_waits():
    log = Log()
    acknowledger = InOrderAcknowledger()
    first, second = log.delivery(10), log.delivery(11)
    acknowledger.track(first)
    acknowledger.track(second)
    acknowledger.done(second)
    assert log.offsets == {}
    acknowledger.done(first)
    assert log.offsets == {0: [10, 11]}
    assert acknowledger.position(first.partition) == 12


def test_gaps_between_offsets_are_no_obstacle():
    log = Log()
    acknowledger = InOrderAcknowledger()
    messages = [log.delivery(offset) for offset in (3, 8, 20)]
    for message in messages:
        acknowledger.track(message)
    for message in messages:
        acknowledger.done(message)
    assert log.offsets == {0: [3, 8, 20]}


def test_what_was_in_work_of_a_lost_partition_is_not_acknowledged():
    log = Log()
    acknowledger = InOrderAcknowledger()
    lost, kept = log.delivery(5, number=0), log.delivery(5, number=1)
    acknowledger.track(lost)
    acknowledger.track(kept)
    acknowledger.forget([Partition("camera.frames", 0)])
    acknowledger.done(lost)
    acknowledger.done(kept)
    assert log.offsets == {1: [5]}


def test_reading_a_partition_again_forgets_what_was_in_work_before():
    stale, fresh = Log(), Log()
    acknowledger = InOrderAcknowledger()
    old = [stale.delivery(offset) for offset in (4, 5)]
    new = [fresh.delivery(offset) for offset in (3, 4, 5)]
    for message in old + new:
        acknowledger.track(message)
    for message in old:
        acknowledger.done(message)
    assert stale.offsets == {}
    for message in new:
        acknowledger.done(message)
    assert fresh.offsets == {0: [3, 4, 5]}
