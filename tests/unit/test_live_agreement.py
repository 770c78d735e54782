"""Counts of live faces as shares with intervals."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decisions.shadow_frames import ShadowCount
from infra.models import live_agreement as module
from infra.models.live_agreement import live_agreement
from sinks.main.models.shadow_counts import CountedHour

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SHARES = ("embedded", "covered", "same_best", "found", "confused", "taken")


def hours_of(counts):
    return [
        CountedHour(f"door-{number % 3}", NOON + timedelta(hours=number), count)
        for number, count in enumerate(counts)
    ]


@st.composite
def a_count(draw):
    faces = draw(st.integers(0, 30))
    embedded = draw(st.integers(0, faces))
    known = draw(st.integers(0, embedded))
    found = draw(st.integers(0, known))
    return ShadowCount(
        faces, embedded, known, draw(st.integers(0, known)), draw(st.integers(0, known)), found,
        draw(st.integers(0, known - found)), draw(st.integers(0, embedded - known)),
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(a_count(), min_size=1, max_size=6))
def test_shares_are_those_of_the_sums_and_in_their_intervals(counts):
    live = live_agreement(hours_of(counts))
    total = ShadowCount.total(counts)
    wholes = [total.faces, *[total.known] * 4, total.embedded - total.known]
    for name, whole in zip(SHARES, wholes, strict=True):
        share = getattr(live, name)
        assert share.probes == whole
        if whole:
            assert share.value == pytest.approx(getattr(total, name) / whole)
            assert share.low - 1e-9 <= share.value <= share.high + 1e-9
        else:
            assert share.value is None
    assert live.since == NOON


def test_one_hour_of_many_faces_is_not_many_trials():
    many = live_agreement(hours_of([ShadowCount(1000, 1000, 1000, 1000, 900, 900)]))
    spread = live_agreement(hours_of([ShadowCount(50, 50, 50, 50, 45, 45)] * 20))
    assert many.same_best.value == spread.same_best.value
    assert many.same_best.high - many.same_best.low > spread.same_best.high - spread.same_best.low


def test_more_hours_than_draws_are_taken_together(monkeypatch):
    monkeypatch.setattr(module, "MOST_BLOCKS", 4)
    live = live_agreement(hours_of([ShadowCount(2, 2, 2, 2, 1)] * 10))
    assert (live.same_best.people, live.same_best.value, live.cameras) == (4, 0.5, 3)


def test_nothing_counted_is_nothing():
    assert live_agreement([]) is None
