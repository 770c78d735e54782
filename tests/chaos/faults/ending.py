"""A worker is killed or stopped; the fleet starts another one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.fleet import Member
from tests.chaos.schedule import PlannedFault

#: Instead of a worker's name.
NO_WORKER = "no worker was running"


def choose_worker(targets: Targets, fault: PlannedFault) -> Member | None:
    """The worker to affect; None if none is running."""
    members = targets.fleet.alive(fault.target)
    return members[int(fault.pick * len(members))] if members else None


@asynccontextmanager
async def kill(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """SIGKILL."""
    member = choose_worker(targets, fault)
    if member is not None:
        targets.fleet.kill(member)
    yield member.name if member else NO_WORKER


@asynccontextmanager
async def terminate(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """SIGTERM."""
    member = choose_worker(targets, fault)
    if member is not None:
        targets.fleet.terminate(member)
    yield member.name if member else NO_WORKER
