"""Answers go on arriving, whatever becomes of the connections that bring them."""

import asyncio
from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import RedisSettings
from sinks.cache import answer_waiter as answers_module
from sinks.cache.answer_waiter import AnswerWaiter

UVLOOP = RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")


class Broken:
    """A client whose first calls fail; then it has every answer."""

    def __init__(self, *failures):
        self.failures = list(failures)

    def _fail(self):
        if self.failures:
            raise self.failures.pop(0)

    async def mget(self, keys):
        self._fail()
        return [b"answer"] * len(keys)

    async def get(self, _key):
        return None

    def pubsub(self):
        return self

    async def __aenter__(self):
        self._fail()
        return self

    async def __aexit__(self, *_exception):
        pass

    async def subscribe(self, _channel):
        self._fail()

    async def listen(self):
        self._fail()
        yield {"type": "subscribe"}
        await asyncio.Event().wait()

    async def aclose(self):
        pass


@pytest.fixture
def waiter(monkeypatch):
    def make(reader, listener):
        clients = iter([reader, listener])
        monkeypatch.setattr(answers_module, "create_client", lambda *_a, **_o: next(clients))
        return AnswerWaiter(RedisSettings())

    return make


@pytest.mark.parametrize("failure", [UVLOOP, RedisConnectionError("gone"), KeyError("x")], ids=repr)
@pytest.mark.parametrize("broken", ["reader", "listener"])
async def test_field_10_a_broken_connection_does_not_end_the_reading_of_answers(
    waiter, failure, broken
):
    failing, sound = Broken(failure, failure), Broken()
    ends = SimpleNamespace(reader=sound, listener=sound)
    setattr(ends, broken, failing)
    one = waiter(ends.reader, ends.listener)
    one.start()
    try:
        async with asyncio.timeout(10):
            assert await one.wait("upload", 8.0) == b"answer"
            assert await one.wait("another", 8.0) == b"answer"
            while sum(task.restarts for task in one.tasks()) < 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    finally:
        await one.close()
