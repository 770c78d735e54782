"""The disk that all stores share is full for some time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.faults import Targets
from tests.chaos.schedule import PlannedFault


@asynccontextmanager
async def fill(targets: Targets, _fault: PlannedFault) -> AsyncIterator[str]:
    """At the end, stores that have ended are started again, as a supervisor would do."""
    megabytes = await asyncio.to_thread(targets.servers.disk.fill)
    try:
        yield f"{megabytes} MB of ballast"
    finally:
        targets.servers.disk.clear()
        await targets.servers.restart_ended()
