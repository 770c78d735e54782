"""Cancellations that libraries raise by themselves, in tasks that are not cancelled.

aiohttp ends waits for a connection by a cancelled future when its pool is closed, and redis-py ends
reads so. If such an error were treated as a cancellation of the task, it would end work that must
continue.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


def is_cancelled() -> bool:
    """Whether the current task is cancelled; asked on a `CancelledError`."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextmanager
def leaked_cancellation_as(failure: Exception) -> Iterator[None]:
    """Raise ``failure`` where the body is cancelled, but the current task is not."""
    try:
        yield
    except asyncio.CancelledError as leaked:
        if is_cancelled():
            raise
        raise failure from leaked
