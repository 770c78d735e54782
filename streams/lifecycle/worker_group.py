"""Two workers in one process: each has its own consumer group, and both end together."""

import asyncio

from streams.lifecycle.health_server import Check
from streams.lifecycle.worker import Worker


def checks_of(name: str, worker: Worker) -> list[Check]:
    """The health of a worker in the process of another one, by names that tell the two apart."""
    return [Check(f"{name}: {one.name}", one.ok, one.detail) for one in worker.checks()]


async def run_together(lead: Worker, other: Worker) -> None:
    """Run both until the lead is asked to stop, or one of them cannot continue.

    The lead has the signals and ``/health``, which shows the checks of both if it was given
    `checks_of` the other.

    Raises:
        Fatal: one of them cannot continue; the message says why.
    """
    running = asyncio.create_task(other.run_as_part())
    running.add_done_callback(lambda _: lead.stop())
    try:
        await lead.run()
    finally:
        other.stop()
        await running
