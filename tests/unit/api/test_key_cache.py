"""A burst of requests asks the database once; a key that went bad is not believed for long."""

import asyncio
from contextlib import asynccontextmanager

from api.auth import key_cache
from api.auth.key_cache import BELIEVED_SECONDS, Keyring
from services.api_keys import Caller

CALLER = Caller("0" * 12, "test", frozenset({"read"}))


class Database:
    """Knows keys, and counts how often it is asked."""

    def __init__(self, monkeypatch) -> None:
        self.keys = {"good": CALLER}
        self.asked = 0
        self.now = 100.0
        monkeypatch.setattr(key_cache, "find_caller", self._find)
        monkeypatch.setattr(key_cache, "monotonic", lambda: self.now)

    async def _find(self, _session, key):
        self.asked += 1
        await asyncio.sleep(0)
        return self.keys.get(key)

    @asynccontextmanager
    async def session(self):
        yield None


async def test_a_burst_asks_once(monkeypatch):
    database = Database(monkeypatch)
    ring = Keyring(database.session)
    assert set(await asyncio.gather(*(ring.find("good") for _ in range(50)))) == {CALLER}
    assert database.asked == 1


async def test_a_revoked_key_is_refused_after_a_moment(monkeypatch):
    database = Database(monkeypatch)
    ring = Keyring(database.session)
    assert await ring.find("good") == CALLER
    database.keys.clear()
    database.now += BELIEVED_SECONDS - 0.1
    assert await ring.find("good") == CALLER
    database.now += 0.1
    assert await ring.find("good") is None


async def test_a_wrong_key_is_never_believed(monkeypatch):
    database = Database(monkeypatch)
    ring = Keyring(database.session)
    assert await ring.find("bad") is None
    database.keys["bad"] = CALLER
    assert await ring.find("bad") == CALLER
