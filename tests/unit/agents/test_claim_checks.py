import asyncio

import pytest

from agents.detect.claim_checks import ClaimCheckBreaker
from domain.failures import Denied, Reject, Retry


class Store:
    """Answers when it is told to."""

    def __init__(self):
        self.asked = 0
        self.answers = asyncio.Queue()

    async def fetch(self, _dataref):
        self.asked += 1
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(breaker):
    return await breaker("s3://bucket/key")


async def away():
    """A store known to be away, and its breaker."""
    store = Store()
    breaker = ClaimCheckBreaker(store.fetch)
    store.answers.put_nowait(Retry("away"))
    with pytest.raises(Retry):
        await ask(breaker)
    return store, breaker


async def test_while_a_store_is_away_one_asks_and_the_others_fail_at_once():
    store, breaker = await away()
    probe = asyncio.create_task(ask(breaker))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        for _ in range(5):
            with pytest.raises(Retry, match="away"):
                await ask(breaker)
    assert store.asked == 2
    store.answers.put_nowait(b"image")
    assert await probe == b"image"


@pytest.mark.parametrize("answer", [b"image", Denied("no"), Reject("not_found", "no")])
async def test_any_answer_means_that_it_is_back(answer):
    store, breaker = await away()
    store.answers.put_nowait(answer)
    await asyncio.gather(ask(breaker), return_exceptions=True)
    both = [asyncio.create_task(ask(breaker)) for _ in range(2)]
    await asyncio.sleep(0)
    assert store.asked == 4
    for _ in both:
        store.answers.put_nowait(b"image")
    assert await asyncio.gather(*both) == [b"image", b"image"]


async def test_a_probe_that_is_cancelled_lets_another_ask():
    store, breaker = await away()
    probe = asyncio.create_task(ask(breaker))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    store.answers.put_nowait(b"image")
    assert await ask(breaker) == b"image"
