"""A worker whose host or line is gone holds nothing for long, though it never closed anything."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import uvloop

from sinks.errors import StoreUnavailable
from sinks.recents import Recents
from sinks.records import Records
from tests.chaos.proxy import Proxy
from tests.contract.builders import MODEL


@asynccontextmanager
async def behind_a_line(settings, **changes):
    """Records whose connections a test can make dead."""
    proxy = Proxy(settings.main_db.port)
    await proxy.start()
    changed = settings.main_db.model_copy(update={"port": proxy.port, **changes})
    try:
        yield proxy, Records(changed)
    finally:
        await proxy.stop()


async def test_the_claim_of_a_vanished_worker_falls_to_another(prepared, records):
    key = (uuid4(), MODEL)
    claimed, gone = asyncio.Event(), asyncio.Event()
    async with behind_a_line(prepared, idle_transaction_timeout=1.0) as (proxy, vanishing):

        async def hold():
            await vanishing.connect()
            async with vanishing.claim([key]):
                claimed.set()
                await gone.wait()

        holding = asyncio.create_task(hold())
        await claimed.wait()
        proxy.swallow()
        async with asyncio.timeout(15), records.claim([key]) as claim:
            assert claim.settled == {}
        holding.cancel()
        proxy.cut()
        await asyncio.gather(holding, return_exceptions=True)


def test_a_reset_line_to_the_cache_is_an_outage_under_uvloop_too(prepared):
    """uvloop raises a RuntimeError there, which would count as the event's own fault."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        said = runner.run(ask_a_reset_cache(prepared.redis))
    assert said <= {"answered", "unavailable"}
    assert "unavailable" in said


async def ask_a_reset_cache(settings):
    """Calls over connections that were reset: what each came to."""
    proxy = Proxy(settings.port)
    await proxy.start()
    said = set()

    async def ask():
        try:
            await recents.recall(["door"])
        except StoreUnavailable:
            said.add("unavailable")
        else:
            said.add("answered")

    try:
        async with Recents(settings.model_copy(update={"port": proxy.port})) as recents:
            for _ in range(20):
                await asyncio.gather(*(ask() for _ in range(8)))
                proxy.cut()
    finally:
        await proxy.stop()
    return said
