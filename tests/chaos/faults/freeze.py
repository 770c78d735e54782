"""A worker or a server stands still (SIGSTOP) and goes on later, as if no time had passed."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.faults.ending import victim
from tests.chaos.schedule import SERVERS, Strike


@asynccontextmanager
async def freeze(world: World, strike: Strike) -> AsyncIterator[str]:
    """SIGSTOP, then SIGCONT."""
    if strike.target in SERVERS:
        await world.servers.freeze(strike.target)
        try:
            yield strike.target
        finally:
            await world.servers.thaw(strike.target)
        return
    member = victim(world, strike)
    if member is None:
        yield "nobody there"
        return
    member.send(signal.SIGSTOP)
    try:
        yield member.name
    finally:
        member.send(signal.SIGCONT)
