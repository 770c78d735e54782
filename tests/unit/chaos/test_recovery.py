"""The recovery time of a fault, as docs/reliability.md defines it."""

from datetime import UTC, datetime, timedelta

from tests.chaos.accounting import Event
from tests.chaos.expectations import Expect
from tests.chaos.recovery import (
    InjectedFault,
    Recovery,
    Stop,
    Summary,
    alone_seconds,
    by_fault,
    percentile,
    recovery_seconds,
    stop_seconds,
    summarise,
)
from tests.chaos.schedule import PlannedFault

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def published(moment):
    return Event("s", f"e{moment}", Expect.KNOWN, at(moment), ("t/0/0",))


INJECTED = InjectedFault(PlannedFault(0, "crash", "redis", 5, 0.5), "redis", at(0), at(5))
EVENTS = [published(moment) for moment in (1, 4, 6)]


def test_it_lasts_until_all_events_published_by_then_are_announced():
    announced = {
        EVENTS[0].uuid: at(7), EVENTS[1].uuid: at(9.5), EVENTS[2].uuid: at(60)
    }  # fmt: skip
    assert recovery_seconds(INJECTED, EVENTS, announced) == 4.5


def test_it_is_zero_if_all_events_were_announced_before():
    assert recovery_seconds(INJECTED, EVENTS, {event.uuid: at(3) for event in EVENTS[:2]}) == 0
    assert recovery_seconds(INJECTED, [], {}) == 0


def test_times_are_summed_up_by_name():
    assert summarise([("b", 3.0), ("a", 1.0), ("b", 1.0), ("b", 9.0)]) == [
        Summary("a", 1, 1.0, 1.0),
        Summary("b", 3, 3.0, 9.0),
    ]


def test_field_27_times_and_stops_are_shown_by_fault():
    recoveries = [Recovery("a", float(second), second / 2) for second in range(1, 21)]
    stops = [Recovery("b", 4.0, 4.0, stop) for stop in (None, 3.0, 2.0)]
    one, other = by_fault([*recoveries, *stops])
    assert (one.count, one.p50, one.p95, one.longest, one.alone) == (20, 10.5, 19.0, 20.0, 9.5)
    assert (one.stop, other.stop) == (None, 3.0)
    assert percentile([1.0], 0.95) == 1.0


def test_field_27_the_time_of_other_faults_is_taken_off_once():
    def fault(began, ended):
        return InjectedFault(INJECTED.fault, "redis", at(began), at(ended))

    others = [INJECTED, fault(-9, -1), fault(4, 7), fault(6, 8), fault(6.5, 7), fault(20, 90)]
    assert alone_seconds(INJECTED, 10.0, others) == 7.0
    assert alone_seconds(INJECTED, 25.0, others) == 12.0


def test_field_27_a_stop_belongs_to_the_faults_that_it_meets():
    def stop(began, ended):
        return Stop(at(began), at(ended))

    assert stop_seconds(INJECTED, [stop(-3, -1), stop(7, 9)]) is None
    assert stop_seconds(INJECTED, [stop(-3, 1), stop(5.5, 6)]) == 4.0
    assert stop_seconds(INJECTED, [stop(4, 40)]) == 36.0
