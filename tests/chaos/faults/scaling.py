"""Workers are added and removed: one to three of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.faults.ending import NO_WORKER, choose_worker
from tests.chaos.schedule import PlannedFault


@asynccontextmanager
async def join(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """One more worker for some time; then it is stopped."""
    targets.fleet.wanted[fault.target] += 1
    member = targets.fleet.start(fault.target)
    try:
        yield member.name
    finally:
        targets.fleet.wanted[fault.target] -= 1
        if member.running and not member.end_expected:
            targets.fleet.terminate(member)


@asynccontextmanager
async def leave(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """One worker less for some time."""
    member = choose_worker(targets, fault)
    targets.fleet.wanted[fault.target] -= 1
    if member is not None:
        targets.fleet.terminate(member)
    try:
        yield member.name if member else NO_WORKER
    finally:
        targets.fleet.wanted[fault.target] += 1
