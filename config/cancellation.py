"""Cancellations that nobody has asked for: libraries let some of their own out.

aiohttp ends waits for a connection by a cancelled future when its pool is closed, and redis-py ends
reads so. Taken for a cancellation of the task, that would end what nobody has ended.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


def is_asked_for() -> bool:
    """Whether the current task was cancelled; asked on a `CancelledError`."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


@contextmanager
def instead_of_a_leaked_one(failure: Exception) -> Iterator[None]:
    """Raise ``failure`` where a library lets a cancellation of its own out of the body."""
    try:
        yield
    except asyncio.CancelledError as leaked:
        if is_asked_for():
            raise
        raise failure from leaked
