"""The line between the workers and a server: reset, dead, or bad."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.proxy import Slow
from tests.chaos.schedule import Strike

#: 300 ms there and 300 ms back, and 2 Mbit/s for each connection.
BAD_LINE = Slow(latency=0.3, bytes_per_second=250_000)


@asynccontextmanager
async def cut(world: World, strike: Strike) -> AsyncIterator[str]:
    """Every connection is reset at once; new ones are let through."""
    count = world.servers.proxies[strike.target].cut()
    yield f"{count} connections"


@asynccontextmanager
async def blackhole(world: World, strike: Strike) -> AsyncIterator[str]:
    """Nothing gets through and nobody is told; what was connected then stays dead for good."""
    proxy = world.servers.proxies[strike.target]
    proxy.swallow()
    try:
        yield strike.target
    finally:
        proxy.heal()


@asynccontextmanager
async def slow(world: World, strike: Strike) -> AsyncIterator[str]:
    """Latency, and little bandwidth."""
    proxy = world.servers.proxies[strike.target]
    proxy.slow_down(BAD_LINE)
    try:
        yield strike.target
    finally:
        proxy.slow_down(None)
