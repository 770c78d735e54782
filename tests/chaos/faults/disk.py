"""The disk that all stores share is full for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.schedule import Strike


@asynccontextmanager
async def fill(world: World, _strike: Strike) -> AsyncIterator[str]:
    """A store that could not bear it is started again, as its supervisor would do."""
    megabytes = await asyncio.to_thread(world.servers.disk.fill)
    try:
        yield f"{megabytes} MB of ballast"
    finally:
        world.servers.disk.clear()
        await world.servers.revive()
