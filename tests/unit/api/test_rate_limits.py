"""What one process counts by itself is what Redis would have counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth.rate_limits import LocalRates, RequestLimit
from api.http.problems import ApiProblem
from config.observability import metrics
from sinks.cache.request_rates import WINDOW
from sinks.store_errors import StoreUnavailable


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_each_caller_is_counted_alone():
    rates = LocalRates(Clock())
    assert [rates.count("a"), rates.count("a"), rates.count("b")] == [1, 2, 1]


def test_the_last_minute_counts_by_how_much_of_it_still_lies_within():
    clock = Clock()
    rates = LocalRates(clock)
    for _ in range(10):
        rates.count("a")
    clock.now = WINDOW * 1.25
    assert rates.count("a") == 1 + 10 * 0.75
    clock.now = WINDOW * 3.0
    assert rates.count("a") == 1


@given(st.lists(st.floats(0, 3 * WINDOW), min_size=1, max_size=60))
def test_what_is_counted_lies_between_one_minute_and_two(pauses):
    clock = Clock()
    rates = LocalRates(clock)
    calls = []
    for pause in pauses:
        clock.now += pause
        calls.append(clock.now)
        counted = rates.count("a")
        assert 1 <= counted <= sum(clock.now - 2 * WINDOW < at for at in calls)
        assert counted >= sum(clock.now // WINDOW == at // WINDOW for at in calls)


def test_no_caller_is_kept_for_longer_than_two_minutes():
    clock = Clock()
    rates = LocalRates(clock)
    for number in range(100):
        rates.count(str(number))
    clock.now = 2.5 * WINDOW
    rates.count("a")
    assert len(rates._now) + len(rates._before) == 1


class UnavailableRates:
    calls = 0

    async def count(self, _caller):
        self.calls += 1
        raise StoreUnavailable("Redis", "count", "no answer")


async def test_without_redis_the_limit_holds_and_redis_is_called_once():
    rates = UnavailableRates()
    limit = RequestLimit(rates, 2, "key", "this key may make 2 requests a minute")
    counters = (metrics.CACHE_ERRORS, metrics.RATE_FALLBACKS)
    before = [one._value.get() for one in counters]
    for _ in range(2):
        await limit.count("a")
    with pytest.raises(ApiProblem, match="2 requests a minute"):
        await limit.count("a")
    assert rates.calls == 1
    assert [one._value.get() - was for one, was in zip(counters, before, strict=True)] == [1, 3]
