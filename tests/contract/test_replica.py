"""Redis as a replica, or without writes: a clear error that contains no data of a face."""

import asyncio
from uuid import uuid4

import pytest
import redis.asyncio
from pydantic import SecretStr

from domain.personal_data import DataSubject
from infra.embedded.valkey import Valkey
from infra.processes.ports import Ports
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.cache.recent_matches import Recents
from sinks.cache.request_rates import Rates
from sinks.store_errors import StoreReadOnly, StoreUnavailable
from tests.chaos.proxy import Proxy
from tests.contract.builders import a_match, an_event


@pytest.fixture
async def master(prepared):
    """A client without the sinks; at the end the server is a master again."""
    settings = prepared.redis
    client = redis.asyncio.Redis(
        host=settings.host,
        port=settings.port,
        password=settings.password.get_secret_value() if settings.password else None,
    )
    yield client
    await client.execute_command("REPLICAOF", "NO", "ONE")
    await client.config_set("maxmemory", "0")
    await client.config_set("min-replicas-to-write", "0")
    await client.aclose()


async def calls(settings):
    """The calls of the sinks that write to the cache, with their names."""
    async with Recents(settings) as recents, Rates(settings) as rates:
        waiter = AnswerWaiter(settings)
        camera, user = "door", uuid4()
        secret = a_match(an_event(camera), user_id=user)
        yield "ping", recents.ping
        yield "matches", lambda: recents.remember_matches([secret])
        yield "unknown", lambda: recents.remember_matches([a_match(an_event(camera))])
        yield "answer", lambda: recents.answer("id", b'{"secret": "\xff"}')
        yield "named", lambda: recents.answer("id", f'{{"user_id": "{user}"}}'.encode())
        yield "expect", lambda: recents.expect_answer("id", 5.0)
        yield "forget", lambda: recents.erase(DataSubject(user))
        yield "rates", lambda: rates.count("key")
        yield "probe", waiter.probe
        yield "take back", lambda: waiter.forget({"id"})
        await waiter.close()


REFUSALS = {
    "READONLY": ("REPLICAOF", "127.0.0.1", "1"),
    "OOM": ("CONFIG", "SET", "maxmemory", "1"),
    "NOREPLICAS": ("CONFIG", "SET", "min-replicas-to-write", "3"),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_field_05_a_server_that_accepts_no_writes_is_reported_in_one_clean_line(
    prepared, master, code
):
    await master.execute_command(*REFUSALS[code])
    async with asyncio.timeout(10):
        async for name, call in calls(prepared.redis):
            if name == "take back" and code == "OOM":
                continue  # a server that is full still deletes
            with pytest.raises(StoreUnavailable) as caught:
                await call()
            message = str(caught.value)
            assert f"{code}: " in message, name
            assert isinstance(caught.value, StoreReadOnly) == (code == "READONLY"), name
            assert message.isascii(), name
            assert message.isprintable(), name
            assert "pipeline" not in message, name
            assert len(message) < 250, name
            assert caught.value.__cause__ is None, name


async def test_field_05_a_replica_can_be_read(prepared, recents, master):
    camera = uuid4().hex
    match = a_match(an_event(camera))
    await recents.remember_matches([match])
    await master.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert await recents.recent(10, camera) == [match]


async def test_field_05_the_cache_is_used_again_when_its_address_is_the_masters(prepared, tmp_path):
    """A failover: the address is that of a replica, then that of the master."""
    settings = prepared.redis
    password = settings.password.get_secret_value() if settings.password else "replica"
    ports = Ports()
    replica = Valkey(tmp_path / "replica", tmp_path / "log", ports.take(), password)
    replica.start()
    replica.wait_ready()
    proxy = Proxy(replica.port)
    await proxy.start()
    client = redis.asyncio.Redis(port=replica.port, password=password)
    try:
        await client.config_set("masterauth", password)
        await client.execute_command("REPLICAOF", settings.host, str(settings.port))
        line = settings.model_copy(
            update={"host": "127.0.0.1", "port": proxy.port, "password": SecretStr(password)}
        )
        async with Recents(line) as recents:
            camera = uuid4().hex
            match = a_match(an_event(camera))
            with pytest.raises(StoreReadOnly):
                await recents.remember_matches([match])
            await asyncio.gather(*(recents.recent(1, camera) for _ in range(3)))
            proxy.redirect_to(settings.port)
            with pytest.raises(StoreReadOnly):  # over a connection that was there before
                await recents.remember_matches([match])
            await recents.remember_matches([match])
            assert await recents.recent(10, camera) == [match]
    finally:
        await client.aclose()
        await proxy.stop()
        replica.stop()
        ports.release()
