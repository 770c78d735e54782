"""The drawn faults and events: the same for the same seed, and every kind in a long run."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import expectations, schedule
from tests.chaos.expectations import Expect

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.floats(20, 700))
def test_faults_are_repeatable_in_order_and_over_in_time(seed, seconds):
    planned_faults = schedule.plan(seed, seconds)
    assert planned_faults == schedule.plan(seed, seconds)
    assert [fault.at for fault in planned_faults] == sorted(fault.at for fault in planned_faults)
    assert all(fault.at + fault.seconds <= seconds + 0.2 for fault in planned_faults)


@given(SEEDS)
def test_a_run_of_ten_minutes_has_thirty_faults_and_every_kind(seed):
    planned_faults = schedule.plan(seed, 600)
    assert len(planned_faults) >= 30
    assert {fault.name for fault in planned_faults} == {
        f"{choice.kind} {choice.target}"
        for choice in (*schedule.SERVER_FAULTS, *schedule.WORKER_FAULTS)
    }


@given(SEEDS)
def test_a_run_of_a_minute_has_faults_of_servers_and_workers(seed):
    planned_faults = schedule.plan(seed, 60)
    assert len(planned_faults) >= 4
    assert {fault.target in schedule.WORKERS for fault in planned_faults} == {True, False}


@given(SEEDS)
def test_faults_of_a_lane_do_not_overlap(seed):
    for lane in (True, False):
        planned_faults = [
            s for s in schedule.plan(seed, 600) if (s.target in schedule.WORKERS) is lane
        ]
        for earlier, later in pairwise(planned_faults):
            assert later.at >= earlier.at + earlier.seconds


@given(SEEDS)
def test_unavailable_faults_are_left_out(seed):
    planned_faults = schedule.plan(seed, 300, [("*", "kafka"), ("fill disk", "stores")])
    assert planned_faults
    assert not [s for s in planned_faults if s.target == "kafka" or s.kind == "fill disk"]


@given(SEEDS, st.floats(1, 60), st.floats(1, 40))
def test_events_are_repeatable_and_steady(seed, seconds, rate):
    events = expectations.plan(seed, seconds, rate)
    assert events == expectations.plan(seed, seconds, rate)
    assert [event.number for event in events] == list(range(int(seconds * rate)))
    assert all(event.at == event.number / rate for event in events)


@given(SEEDS)
def test_events_of_every_kind_are_published(seed):
    events = expectations.plan(seed, 120, 12)
    assert {event.expect for event in events} == set(Expect)
    assert {event.form for event in events} == {"inline", "claim", "bare"}
    assert any(event.repeat_at is not None for event in events)
