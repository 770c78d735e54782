"""Workers join and leave: one to three of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.faults.ending import victim
from tests.chaos.schedule import Strike


@asynccontextmanager
async def join(world: World, strike: Strike) -> AsyncIterator[str]:
    """One more for a while; it is told to stop again."""
    world.fleet.wanted[strike.target] += 1
    member = world.fleet.start(strike.target)
    try:
        yield member.name
    finally:
        world.fleet.wanted[strike.target] -= 1
        if member.running and not member.dismissed:
            world.fleet.dismiss(member)


@asynccontextmanager
async def leave(world: World, strike: Strike) -> AsyncIterator[str]:
    """One less for a while."""
    member = victim(world, strike)
    world.fleet.wanted[strike.target] -= 1
    if member is not None:
        world.fleet.dismiss(member)
    try:
        yield member.name if member else "nobody there"
    finally:
        world.fleet.wanted[strike.target] += 1
