"""The drawn faults and events: the same for the same seed, and every kind in a long run."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import expectations, schedule
from tests.chaos.expectations import Expect

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.floats(20, 700))
def test_faults_are_repeatable_in_order_and_over_in_time(seed, seconds):
    strikes = schedule.plan(seed, seconds)
    assert strikes == schedule.plan(seed, seconds)
    assert [strike.at for strike in strikes] == sorted(strike.at for strike in strikes)
    assert all(strike.at + strike.seconds <= seconds + 0.2 for strike in strikes)


@given(SEEDS)
def test_a_run_of_ten_minutes_has_thirty_faults_and_every_kind(seed):
    strikes = schedule.plan(seed, 600)
    assert len(strikes) >= 30
    assert {strike.name for strike in strikes} == {
        f"{card.kind} {card.target}" for card in (*schedule.SERVER_DECK, *schedule.WORKER_DECK)
    }


@given(SEEDS)
def test_a_run_of_a_minute_strikes_servers_and_workers(seed):
    strikes = schedule.plan(seed, 60)
    assert len(strikes) >= 4
    assert {strike.target in schedule.WORKERS for strike in strikes} == {True, False}


@given(SEEDS)
def test_no_lane_strikes_before_its_last_fault_is_over(seed):
    for lane in (True, False):
        strikes = [s for s in schedule.plan(seed, 600) if (s.target in schedule.WORKERS) is lane]
        for earlier, later in pairwise(strikes):
            assert later.at >= earlier.at + earlier.seconds


@given(SEEDS)
def test_what_is_not_to_be_had_is_left_out(seed):
    strikes = schedule.plan(seed, 300, [("*", "kafka"), ("fill disk", "stores")])
    assert strikes
    assert not [s for s in strikes if s.target == "kafka" or s.kind == "fill disk"]


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
