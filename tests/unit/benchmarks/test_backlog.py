"""The rate at which a backlog is drained."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.backlog import Commit, steady_rate

START = datetime(2026, 1, 1, tzinfo=UTC)


def commits(*steps: tuple[float, int]) -> list[Commit]:
    return [Commit(START + timedelta(seconds=at), frames) for at, frames in steps]


@given(
    size=st.integers(1, 64), count=st.integers(10, 100), pause=st.floats(0.001, 2, allow_nan=False)
)
def test_an_even_stream_has_its_own_rate(size: int, count: int, pause: float):
    stream = commits(*((number * pause, size) for number in range(count)))

    assert steady_rate(stream) == pytest.approx(size / pause, rel=0.01)


def test_a_slow_start_and_a_slow_end_do_not_count():
    middle = [(100.0 + number, 10) for number in range(10)]

    assert steady_rate(commits((0, 5), *middle, (500, 5))) == pytest.approx(10)


def test_a_single_commit_has_no_rate():
    with pytest.raises(ValueError, match="48 frames"):
        steady_rate(commits((0, 48)))
