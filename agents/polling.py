"""Looks again and again for what other processes have changed, also after an outage."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Never

from domain.failures import Retry

logger = logging.getLogger(__name__)


async def poll(
    look: Callable[[], Awaitable[object]],
    pause: float,
    purpose: str,
    failures: tuple[type[Exception], ...] = (Retry,),
) -> Never:
    """Look until cancelled; say once that it fails, and once that it succeeds again.

    Args:
        look: what is done each time.
        pause: seconds after a look.
        purpose: for the log, as in "following the vetoes".
        failures: what a later look may not meet again; all else is raised.
    """
    succeeds = True
    while True:
        try:
            await look()
        except failures as failure:
            if succeeds:
                logger.warning("%s fails: %s", purpose, failure)
            succeeds = False
        else:
            if not succeeds:
                logger.info("%s succeeds again", purpose)
            succeeds = True
        await asyncio.sleep(pause)
