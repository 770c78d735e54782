"""What a batch does when its worker cannot go on."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from domain.failures import Fatal


async def end_worker(on_fatal: Callable[[Fatal], None], failure: Fatal) -> NoReturn:
    """Ask for the worker's end, and wait until it cancels this batch, whose messages stay open."""
    on_fatal(failure)
    while True:
        await asyncio.Event().wait()
