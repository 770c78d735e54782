"""Which times are taken, and as which moment."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract import rfc3339

NOON = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
DAY = 24 * 60 - 1

moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))  # noqa: DTZ001
offsets = st.integers(-DAY, DAY)


@given(
    moment=moments,
    offset=offsets,
    digits=st.text("0123456789", min_size=0, max_size=40),
    separator=st.sampled_from("Tt "),
)
def test_field_04_every_legal_time_is_its_moment(moment, offset, digits, separator):
    whole = moment.replace(microsecond=0)
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    fraction = f".{digits}" if digits else ""
    text = (
        f"{whole:%m-%d}{separator}{whole:%H:%M:%S}{fraction}"
        f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    )
    microseconds = int((digits or "0")[:6].ljust(6, "0"))
    zone = timezone(timedelta(minutes=offset))
    expected = whole.replace(tzinfo=zone) + timedelta(microseconds=microseconds)
    parsed = rfc3339.parse(f"{whole.year:04d}-{text}")
    assert parsed == expected
    assert parsed.utcoffset() == timedelta(0)


@given(moment=moments, offset=offsets)
def test_field_04_what_python_writes_is_read_as_python_reads_it(moment, offset):
    text = moment.replace(tzinfo=timezone(timedelta(minutes=offset))).isoformat()
    assert rfc3339.parse(text) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-29t12:00:00z", NOON),
        ("2026-11-29T12:00:00Z", NOON),
        ("2026-11-29 12:00:00Z", NOON),
        ("2026-11-29T12:00:00-00:00", NOON),
        ("2026-11-30T02:00:00+14:00", NOON),
        ("2026-11-29T00:00:00-12:00", NOON),
        ("2026-11-29T17:45:00+05:45", NOON),
        ("2026-11-29T12:00:00.000000000000000000001Z", NOON),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T08:59:60.25+09:00", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1991, 1, 1, tzinfo=UTC)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ],
)
def test_field_04_legal_times(text, moment):
    assert rfc3339.parse(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-W48-7T12:00:00Z",
        "2026W487T120000Z",
        "2026-W48",
        "2026-333T12:00:00Z",
        "2026333T120000Z",
        "20261129T120000Z",
        "20261129T12:00:00Z",
        "2026-11-29T120000Z",
        "2026-11-29T12:00Z",
        "2026-11-29T12Z",
        "2026-11-29",
        "12:00:00Z",
        "2026-11-29T12:00:00",
        "2026-11-29T12:00:00+01",
        "2026-11-29T12:00:00+0100",
        "2026-11-29T12:00:00+01:00:30",
        "2026-11-29T12:00:00+24:00",
        "2026-11-29T12:00:00+01:60",
        "2026-11-29T12:00:00\u221201:00",
        "2026-11-29T12:00:00,5Z",
        "2026-11-29T12:00:00.Z",
        "2026-11-29T12:00:61Z",
        "2026-11-29T24:00:00Z",
        "2026-11-29T12:60:00Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "0000-01-01T12:00:00Z",
        "+2026-11-29T12:00:00Z",
        "12026-11-29T12:00:00Z",
        "26-11-29T12:00:00Z",
        "2026-11-29_12:00:00Z",
        " 2026-11-29T12:00:00Z",
        "2026-11-29T12:00:00Z ",
        "2026-11-29T12:00:00Z\n",
        "2026-11-29T12:00:00 Z",
        "\u0662\u0660\u0662\u0666-11-29T12:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-00:01",
        "2026-11-29T12:00:00Z[UTC]",
        "now",
    ],
)
def test_field_04_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r"[a-z]"):
        rfc3339.parse(text)


@given(text=st.text("0123456789-+:.TtZzW ", max_size=40))
def test_field_04_nothing_but_a_time_or_a_refusal_comes_of_a_text(text):
    with suppress(ValueError):
        assert rfc3339.parse(text).tzinfo is UTC
