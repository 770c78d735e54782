"""The cache is left alone for a while when it does not answer."""

from agents.identify.cache_circuit import CacheBreaker
from sinks.store_errors import StoreUnavailable


class Cache:
    def __init__(self):
        self.away = False
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if self.away:
            raise StoreUnavailable("Redis", "ask", "no answer")
        return "hit"


async def test_field_27_a_cache_that_hangs_is_not_waited_for_by_every_call():
    cache, breaker = Cache(), CacheBreaker(rest=60.0)
    assert await breaker.ask(cache, "miss") == "hit"
    cache.away = True
    assert [await breaker.ask(cache, "miss") for _ in range(5)] == ["miss"] * 5
    assert cache.asked == 2


async def test_field_27_it_is_asked_again_after_its_rest():
    cache, breaker = Cache(), CacheBreaker(rest=0.0)
    cache.away = True
    assert await breaker.ask(cache, "miss") == "miss"
    cache.away = False
    assert await breaker.ask(cache, "miss") == "hit"
