"""A worker is killed, or told to stop; the fleet starts another in its place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import World
from tests.chaos.fleet import Member
from tests.chaos.schedule import Strike


def victim(world: World, strike: Strike) -> Member | None:
    """Which of the workers; None when there is none just now."""
    members = world.fleet.alive(strike.target)
    return members[int(strike.pick * len(members))] if members else None


@asynccontextmanager
async def kill(world: World, strike: Strike) -> AsyncIterator[str]:
    """SIGKILL."""
    member = victim(world, strike)
    if member is not None:
        world.fleet.kill(member)
    yield member.name if member else "nobody there"


@asynccontextmanager
async def terminate(world: World, strike: Strike) -> AsyncIterator[str]:
    """SIGTERM."""
    member = victim(world, strike)
    if member is not None:
        world.fleet.dismiss(member)
    yield member.name if member else "nobody there"
