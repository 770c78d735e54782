"""Matches are announced without the cache, and without waiting for it again and again."""

from types import SimpleNamespace

from agents.identify.announcements import Announcer
from config.observability import metrics
from sinks.store_errors import StoreUnavailable
from streams.contract.topics import Topics


class UnavailableCache:
    calls = 0

    async def remember_matches(self, _matches):
        self.calls += 1
        raise StoreUnavailable("Redis", "remember", "no answer")


class Recorded:
    """The publisher and the main database: what they are asked to do."""

    def __init__(self):
        self.sent = self.marked = 0

    async def send_all(self, _messages):
        self.sent += 1

    async def mark_announced(self, _keys):
        self.marked += 1


async def test_a_cache_that_is_unavailable_is_counted_every_time_and_called_once():
    cache, done = UnavailableCache(), Recorded()
    announcer = Announcer(SimpleNamespace(recents=cache, records=done), done, Topics(""))
    before = metrics.CACHE_ERRORS._value.get()
    for _ in range(3):
        await announcer.announce([])
    assert (cache.calls, done.sent, done.marked) == (1, 3, 3)
    assert metrics.CACHE_ERRORS._value.get() - before == 3
