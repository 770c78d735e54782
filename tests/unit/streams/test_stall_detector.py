from hypothesis import given
from hypothesis import strategies as st

from streams.contract.message import Partition
from streams.lifecycle.stall_detector import PartitionState, StallDetector

P = Partition("camera.frames", 0)


def watched(*states, timeout=10.0):
    """What the watch says of states, by time."""
    watch = StallDetector(timeout)
    return [watch.stalled(P, PartitionState(*state), now) for now, state in states]


def test_a_consumer_that_does_not_fetch_stalls():
    assert watched((0, (9, 5, 5, True)), (9, (12, 5, 5, True)), (11, (12, 5, 5, True))) == [
        False,
        False,
        True,
    ]


def test_progress_of_either_offset_is_progress():
    assert not any(watched((0, (9, 5, 5, True)), (9, (9, 6, 5, True)), (18, (9, 6, 6, True))))


def test_a_partition_that_the_worker_does_not_want_more_of_is_not_stalled():
    """A store is unavailable: the batches are retried and give signs of life."""
    assert not any(watched((0, (9, 5, 5, False)), (100, (9, 5, 5, False)), (105, (9, 5, 5, True))))


def test_an_empty_partition_is_not_stalled():
    assert not any(watched((0, (5, 5, 5, True)), (100, (5, 5, 5, True)), (105, (9, 5, 5, True))))


def test_lost_partitions_are_forgotten():
    watch = StallDetector(10)
    state = PartitionState(9, 5, 5, has_room=True)
    watch.stalled(P, state, 0)
    assert P in watch
    watch.forget(P)
    assert not watch.stalled(P, state, 100)


@given(
    end=st.integers(0, 50),
    fetched=st.integers(0, 50),
    done=st.one_of(st.none(), st.integers(0, 50)),
)
def test_lag_is_what_is_not_acknowledged_and_never_negative(end, fetched, done):
    state = PartitionState(end, fetched, done, has_room=True)
    assert state.lag >= 0
    if done is not None and done <= end:
        assert state.lag == end - done
