"""The network between the workers and a server: connections reset, packets dropped, or slow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.proxy import Slow
from tests.chaos.schedule import PlannedFault

#: 300 ms there and 300 ms back, and 2 Mbit/s for each connection.
BAD_LINE = Slow(latency=0.3, bytes_per_second=250_000)


@asynccontextmanager
async def cut(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """All connections are reset at once; new ones are accepted."""
    count = targets.servers.proxies[fault.target].cut()
    yield f"{count} connections"


@asynccontextmanager
async def blackhole(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """All packets are dropped silently; connections of this time stay dead afterwards."""
    proxy = targets.servers.proxies[fault.target]
    proxy.blackhole()
    try:
        yield fault.target
    finally:
        proxy.restore()


@asynccontextmanager
async def slow(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """High latency and low bandwidth."""
    proxy = targets.servers.proxies[fault.target]
    proxy.slow_down(BAD_LINE)
    try:
        yield fault.target
    finally:
        proxy.slow_down(None)
