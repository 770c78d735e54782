"""A worker whose host or line is gone holds nothing for long, though it never closed anything."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

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
