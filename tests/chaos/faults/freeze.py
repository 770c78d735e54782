"""A worker or a server is suspended (SIGSTOP) and resumed later."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.faults.ending import NO_WORKER, choose_worker
from tests.chaos.schedule import SERVERS, PlannedFault


@asynccontextmanager
async def freeze(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """SIGSTOP, then SIGCONT."""
    if fault.target in SERVERS:
        await targets.servers.freeze(fault.target)
        try:
            yield fault.target
        finally:
            await targets.servers.resume(fault.target)
        return
    member = choose_worker(targets, fault)
    if member is None:
        yield NO_WORKER
        return
    member.send(signal.SIGSTOP)
    try:
        yield member.name
    finally:
        member.send(signal.SIGCONT)
