"""A server is killed (SIGKILL), stays away for a while, and is started again on its data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.schedule import Strike


@asynccontextmanager
async def crash(world: World, strike: Strike) -> AsyncIterator[str]:
    """The fault is over when the server answers again."""
    await world.servers.crash(strike.target)
    try:
        yield strike.target
    finally:
        await world.servers.start(strike.target)
