"""Calls are counted for each caller in a sliding window."""

from uuid import uuid4

import pytest

from sinks.cache import request_rates
from sinks.cache.request_rates import Rates
from sinks.store_errors import StoreUnavailable


@pytest.fixture
async def counter(prepared):
    async with Rates(prepared.redis) as opened:
        yield opened


async def test_every_caller_is_counted_separately(counter, monkeypatch):
    monkeypatch.setattr(request_rates, "time", lambda: 6_000_000.0)
    one, other = uuid4().hex, uuid4().hex
    assert [await counter.count(one) for _ in range(3)] == [1, 2, 3]
    assert await counter.count(other) == 1


async def test_the_window_slides(counter, monkeypatch):
    """Calls of the previous minute count for the part of it within the last sixty seconds."""
    caller = uuid4().hex
    monkeypatch.setattr(request_rates, "time", lambda: 6_000_000.0)
    for _ in range(40):
        await counter.count(caller)
    monkeypatch.setattr(request_rates, "time", lambda: 6_000_060.0 + 15)
    assert await counter.count(caller) == 1 + 30
    monkeypatch.setattr(request_rates, "time", lambda: 6_000_060.0 + 59.9)
    assert await counter.count(caller) == pytest.approx(2, abs=0.1)
    monkeypatch.setattr(request_rates, "time", lambda: 6_000_000.0 + 180)
    assert await counter.count(caller) == 1


async def test_an_absent_redis_is_reported(prepared):
    async with Rates(prepared.redis.model_copy(update={"port": 1})) as counter:
        with pytest.raises(StoreUnavailable):
            await counter.count("caller")
