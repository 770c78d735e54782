"""A server is killed (SIGKILL), and after some time started again with its data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.schedule import PlannedFault


@asynccontextmanager
async def crash(targets: Targets, fault: PlannedFault) -> AsyncIterator[str]:
    """The fault ends when the server answers again."""
    await targets.servers.crash(fault.target)
    try:
        yield fault.target
    finally:
        await targets.servers.start(fault.target)
