"""How many searches of sightings a process runs at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.http.problems import ApiProblem

_RETRY_AFTER = "2"


class SearchTurns:
    """Turns for requests that each compare very many embeddings, in the order of the requests.

    Without them a few clients would take all connections, and the database's time, from others.
    """

    def __init__(self, at_once: int, patience: float) -> None:
        """Begin with no search.

        Args:
            at_once: how many may run, at least 1.
            patience: how long a request waits for its turn, in seconds.
        """
        self._turns = asyncio.Semaphore(at_once)
        self._patience = patience

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a turn for the time of the context.

        Raises:
            ApiProblem: ``too_busy``: others did not end in time.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise ApiProblem(
                503,
                "too_busy",
                "too many searches of sightings run at once; try again",
                headers={"Retry-After": _RETRY_AFTER},
            ) from None
        try:
            yield
        finally:
            self._turns.release()
