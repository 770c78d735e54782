"""Not every call waits for a store that is known to be unavailable."""

import asyncio

import pytest

from domain.failures import Denied, Reject, Retry
from sinks import circuit_breaker
from sinks.circuit_breaker import CircuitBreaker, CircuitOpen


class Store:
    """Gives the answers that are put into it, one for each call."""

    def __init__(self):
        self.called = 0
        self.answers = asyncio.Queue()

    async def get(self):
        self.called += 1
        async with asyncio.timeout(5):
            answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(circuit_breaker, "monotonic", clock)
    return clock


async def after_a_failure(pause=0.0):
    store, breaker = Store(), CircuitBreaker(pause)
    store.answers.put_nowait(Retry("no answer"))
    with pytest.raises(Retry, match="no answer") as failed:
        await breaker.call(store.get)
    assert not isinstance(failed.value, CircuitOpen)
    return store, breaker


async def test_while_a_store_is_unavailable_one_call_tries_it_and_the_others_fail_at_once():
    store, breaker = await after_a_failure()
    trial = asyncio.create_task(breaker.call(store.get))
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(CircuitOpen, match="no answer"):
            await breaker.call(store.get)
    assert store.called == 2
    store.answers.put_nowait(b"image")
    assert await trial == b"image"


@pytest.mark.parametrize("answer", [b"image", Denied("no"), Reject("not_found", "no")])
async def test_after_any_answer_all_calls_are_let_through(answer):
    store, breaker = await after_a_failure()
    store.answers.put_nowait(answer)
    await asyncio.gather(breaker.call(store.get), return_exceptions=True)
    both = [asyncio.create_task(breaker.call(store.get)) for _ in range(2)]
    await asyncio.sleep(0)
    assert store.called == 4
    for _ in both:
        store.answers.put_nowait(b"image")
    assert await asyncio.gather(*both) == [b"image", b"image"]


async def test_a_trial_that_is_cancelled_lets_another_call_try():
    store, breaker = await after_a_failure()
    trial = asyncio.create_task(breaker.call(store.get))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    store.answers.put_nowait(b"image")
    assert await breaker.call(store.get) == b"image"


async def test_field_27_a_cache_that_hangs_is_not_waited_for_by_every_call(clock):
    store, breaker = await after_a_failure(pause=3.0)
    clock.now += 2.9
    for _ in range(5):
        with pytest.raises(CircuitOpen):
            await breaker.call(store.get)
    assert store.called == 1


async def test_field_27_each_failure_begins_another_pause_and_a_success_ends_it(clock):
    store, breaker = await after_a_failure(pause=3.0)
    for answer in (Retry("still away"), "hit"):
        clock.now += 3.0
        store.answers.put_nowait(answer)
        (outcome,) = await asyncio.gather(breaker.call(store.get), return_exceptions=True)
        assert outcome is answer
        if isinstance(answer, Retry):
            with pytest.raises(CircuitOpen, match="still away"):
                await breaker.call(store.get)
    store.answers.put_nowait("hit again")
    assert await breaker.call(store.get) == "hit again"
