"""Matches are announced without the cache, and without waiting for it again and again."""

import asyncio
from types import SimpleNamespace

import pytest

from agents.identify.announcements import Announcer
from agents.processes.detect_process import guarded
from config.observability import metrics
from sinks.store_errors import StoreRejected, StoreUnavailable
from streams.contract.topics import Topics
from tests.contract.builders import a_match, an_event


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


def a_frame():
    event = an_event()
    result = SimpleNamespace(event=event, key=(event.uuid, "m"), answer=None)
    return SimpleNamespace(result=result, matches=[a_match(event)], probes={})


async def test_a_cache_that_is_unavailable_is_counted_every_time_and_called_once():
    cache, done = UnavailableCache(), Recorded()
    announcer = Announcer(SimpleNamespace(recents=cache, records=done), done, Topics(""))
    before = metrics.CACHE_ERRORS._value.get()
    for effects in ([a_frame()], [a_frame()], [], [a_frame()]):  # without faces nothing is written
        await announcer.announce(effects)
    assert (cache.calls, done.sent, done.marked) == (1, 4, 4)
    assert metrics.CACHE_ERRORS._value.get() - before == 3


class HangingStore:
    """An object store without an answer, which refuses some addresses without a call."""

    calls = 0

    def locate(self, dataref):
        if dataref == "nonsense":
            raise StoreRejected("S3", "fetch", "no address", reason="bad_dataref")

    async def fetch(self, dataref, _max_bytes):
        self.locate(dataref)
        self.calls += 1
        await asyncio.sleep(0)
        raise StoreUnavailable("S3", "fetch", "no answer")


async def test_an_address_that_is_refused_without_a_call_says_nothing_about_the_store():
    store = HangingStore()
    fetch = guarded(store, 1000)
    for dataref, failure in (("s3://a/1", StoreUnavailable), ("nonsense", StoreRejected)):
        with pytest.raises(failure):
            await fetch(dataref)
    await asyncio.gather(fetch("s3://a/2"), fetch("s3://a/3"), return_exceptions=True)
    assert store.calls == 2, "one of the two tries the store, the other one does not wait for it"
