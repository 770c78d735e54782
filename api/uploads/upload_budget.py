"""How many bytes of photos a process holds at once, and how long they may take to arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.http.problems import ApiProblem
from config.observability import metrics
from domain.memory_budget import Budget

_RETRY_AFTER = "2"


class Intake:
    """Room for the bodies of uploads, given out in the order of the requests.

    A request that has to wait is not read: the sender's connection fills up and blocks the sender.
    """

    def __init__(self, capacity: int, patience: float) -> None:
        """Begin empty.

        Args:
            capacity: bytes that all requests together may hold.
            patience: how long a request waits for its turn, in seconds.
        """
        self._budget = Budget(capacity)
        self._patience = patience

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Have room for so many bytes for the time of the context.

        What is larger than everything there is gets everything there is.

        Raises:
            ApiProblem: ``too_busy``: others did not make room in time.
        """
        try:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(self._patience):
                        await held.enter_async_context(self._budget.hold(size))
                except TimeoutError:
                    raise _too_busy() from None
                self._tell()
                yield
        finally:
            self._tell()

    def _tell(self) -> None:
        metrics.UPLOAD_BYTES.set(self._budget.lent)


def _too_busy() -> ApiProblem:
    return ApiProblem(
        503,
        "too_busy",
        "too many photos are on their way in; try again",
        headers={"Retry-After": _RETRY_AFTER},
    )
