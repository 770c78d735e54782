"""A wrong clock decides on nothing but what was sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import EventKind, ImageEvent, utc_now
from streams.contract.camera_clocks import (
    LONGEST_IN_KAFKA,
    OLDEST_PICTURE,
    ClockPolicy,
    arrival,
    seen_at,
)
from streams.contract.envelope import decode, encode_headers
from streams.contract.topics import Topics
from tests.unit.streams.messages import delivery

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
POLICY = ClockPolicy(60.0)

any_time = st.datetimes(timezones=st.just(UTC))
around_now = st.floats(-1e6, 1e6).map(lambda seconds: NOW + timedelta(seconds=seconds))
times = st.one_of(any_time, around_now)
stamps = st.one_of(
    st.sampled_from([-1.0, 0.0]),
    st.floats(-1e18, 1e18),
    around_now.map(datetime.timestamp),
)


def counts(captured_at, stamp, *, by_broker=False, now=NOW):
    arrived_at = arrival(stamp, now, POLICY, by_broker=by_broker)
    return seen_at(captured_at, arrived_at, POLICY) or captured_at


@given(captured_at=times, stamp=stamps)
def test_field_04_no_time_that_counts_lies_ahead_whatever_a_producer_says(captured_at, stamp):
    """Neither by ce_time, nor by a CreateTime of the same wrong clock, nor by both."""
    assert counts(captured_at, stamp) <= NOW + timedelta(seconds=2 * POLICY.ahead)
    assert counts(captured_at, stamp) >= NOW - LONGEST_IN_KAFKA - OLDEST_PICTURE


@given(captured_at=times, stamp=around_now)
def test_field_04_a_time_counts_as_sent_unless_it_is_ahead_of_kafka_or_years_behind(
    captured_at, stamp
):
    by_broker = counts(captured_at, stamp.timestamp(), by_broker=True)
    if stamp - OLDEST_PICTURE <= captured_at <= stamp + timedelta(seconds=59):
        assert by_broker == captured_at
    elif not stamp - OLDEST_PICTURE <= captured_at <= stamp + timedelta(seconds=61):
        assert abs(by_broker - stamp) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("captured", "stamp", "expected"),
    [
        (timedelta(0), timedelta(0), "captured"),
        (timedelta(days=-30), timedelta(days=-30), "captured"),
        (timedelta(seconds=50), timedelta(0), "captured"),
        (timedelta(seconds=90), timedelta(0), "stamp"),
        (timedelta(days=365), timedelta(0), "stamp"),
        (timedelta(days=365), timedelta(days=365), "now"),
        # A backlog: the picture says it was taken after its message came.
        (timedelta(hours=-1), timedelta(hours=-20), "stamp"),
        # The producer's clock, not the camera's, was never set.
        (timedelta(0), timedelta(days=-20_000), "captured"),
        (timedelta(days=-20_000), timedelta(0), "stamp"),
        (timedelta(days=-20_000), timedelta(days=-20_000), "now"),
    ],
)
def test_field_04_clocks_that_are_wrong_in_one_way_or_another(captured, stamp, expected):
    moments = {"captured": NOW + captured, "stamp": NOW + stamp, "now": NOW}
    counted = counts(moments["captured"], moments["stamp"].timestamp())
    assert abs(counted - moments[expected]) < timedelta(milliseconds=1)


def test_field_04_of_the_broker_its_own_time_is_taken_at_its_word():
    late = NOW + timedelta(days=365)
    assert counts(late, late.timestamp(), by_broker=True) == late


@pytest.mark.parametrize("time", ["2027-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_field_04_a_frame_keeps_its_time_and_its_identity(time):
    captured_at = datetime.fromisoformat(time) + timedelta(0)
    if captured_at.year != 9999:
        captured_at = utc_now() + timedelta(days=33)
    event = ImageEvent(
        kind=EventKind.FRAME, source="c", id="1", key="door-1", captured_at=captured_at
    )
    stamp = utc_now().timestamp()
    headers = tuple(encode_headers(event, "image/jpeg"))
    read = decode(delivery(headers=headers, timestamp=stamp), Topics()).event
    assert (read.captured_at, read.uuid) == (captured_at, event.uuid)
    assert read.at == datetime.fromtimestamp(stamp, UTC)


def test_field_04_a_bare_frame_of_a_producer_with_a_wrong_clock_is_of_now():
    event = decode(delivery(timestamp=utc_now().timestamp() + 1e7), Topics()).event
    assert event.captured_at > utc_now() + timedelta(days=100)
    assert abs(event.at - utc_now()) < timedelta(seconds=10)
