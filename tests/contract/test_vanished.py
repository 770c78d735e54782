"""A worker whose host or network has failed does not keep its locks and connections for long."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import uvloop

from config.observability.logging import keep_outages_short
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.store_errors import StoreUnavailable
from tests.chaos.proxy import Proxy
from tests.contract.builders import MODEL
from tests.stored_records import settled_rows


@asynccontextmanager
async def behind_a_line(settings, **changes):
    """Records whose connections a test can break."""
    proxy = Proxy(settings.main_db.port)
    await proxy.start()
    changed = settings.main_db.model_copy(update={"port": proxy.port, **changes})
    try:
        yield proxy, Records(changed)
    finally:
        await proxy.stop()


async def test_another_worker_gets_the_claim_of_a_failed_worker(prepared, records):
    key = (uuid4(), MODEL)
    claimed, ended = asyncio.Event(), asyncio.Event()
    async with behind_a_line(prepared, idle_transaction_timeout=1.0) as (proxy, vanishing):

        async def hold():
            await vanishing.connect()
            async with vanishing.claim([key]):
                claimed.set()
                await ended.wait()

        holding = asyncio.create_task(hold())
        await claimed.wait()
        proxy.blackhole()
        async with asyncio.timeout(15), records.claim([key]) as claim:
            assert claim.existing == {}
        holding.cancel()
        proxy.cut()
        await asyncio.gather(holding, return_exceptions=True)


async def test_dead_connections_are_detected_by_one_statement_not_by_each_connection(prepared):
    """A firewall has dropped them all silently, and the server is available again."""
    line = behind_a_line(prepared, command_timeout=1.0, pool_max=4)
    async with line as (proxy, records), records:
        together = asyncio.Barrier(4)

        async def open_one():
            async with records._connection("test") as connection:
                await connection.fetchval("SELECT 1")
                await together.wait()

        await asyncio.gather(*(open_one() for _ in range(4)))
        proxy.blackhole()
        proxy.restore()
        with pytest.raises(StoreUnavailable):
            await settled_rows(records, [(uuid4(), MODEL)])
        for _ in range(4):
            assert await settled_rows(records, [(uuid4(), MODEL)]) == {}


async def test_a_pool_reports_an_absent_server_in_one_line_with_its_address(prepared, caplog):
    keep_outages_short()
    async with behind_a_line(prepared, pool_min=2) as (proxy, records), records:
        await proxy.stop()
        proxy.cut()
        async with asyncio.timeout(10):
            while not any("floor" in record.getMessage() for record in caplog.records):  # noqa: ASYNC110 - a log has no event to wait for
                await asyncio.sleep(0.01)
    reports = [record for record in caplog.records if "floor" in record.getMessage()]
    (line,) = {record.getMessage() for record in reports}
    assert "StoreUnavailable: main database" in line
    assert f":{proxy.port}/" in line
    assert "\n" not in line
    loggers = {record.name for record in reports}
    assert not any(one.exc_info for one in caplog.records if one.name in loggers)


async def test_a_reset_connection_to_the_cache_is_an_outage_under_uvloop_too(prepared):
    """uvloop raises a RuntimeError, which would count as the event's fault."""
    proxy = Proxy(prepared.redis.port)
    await proxy.start()
    loop = asyncio.get_running_loop()
    line = prepared.redis.model_copy(update={"port": proxy.port})

    def under_uvloop():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(ask_over(line, lambda: loop.call_soon_threadsafe(proxy.cut)))

    try:
        assert "unavailable" in await asyncio.to_thread(under_uvloop)
    finally:
        await proxy.stop()


async def ask_over(settings, cut):
    """The outcomes of calls while connections are reset all the time; other errors are raised."""
    outcomes = set()
    async with Recents(settings) as recents:

        async def ask():
            try:
                await recents.recent(1, "door")
            except StoreUnavailable:
                outcomes.add("unavailable")
            else:
                outcomes.add("answered")

        # The moment of a reset is random: some resets hit idle connections, which are replaced.
        rounds = 0
        async with asyncio.timeout(60):
            while rounds < 40 or "unavailable" not in outcomes:
                asking = asyncio.gather(*(ask() for _ in range(8)))
                await asyncio.sleep(0.0005 * (rounds % 8))
                cut()
                await asking
                rounds += 1
    return outcomes
