"""How a batch ends its worker."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from domain.failures import Fatal


async def end_worker(on_fatal: Callable[[Fatal], None], failure: Fatal) -> NoReturn:
    """Ask the worker to end, and wait until it cancels this batch; nothing of it is committed."""
    on_fatal(failure)
    while True:
        await asyncio.Event().wait()
