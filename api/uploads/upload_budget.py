"""How many bytes of photos a process holds at once, and how long they may take to arrive."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.http.problems import ApiProblem
from config.observability import metrics

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
        self._capacity = capacity
        self._patience = patience
        self._free = capacity
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Have room for so many bytes for the time of the context.

        What is larger than everything there is gets everything there is.

        Raises:
            ApiProblem: ``too_busy``: others did not make room in time.
        """
        size = min(size, self._capacity)
        await self._enter(size)
        try:
            yield
        finally:
            self._leave(size)

    async def _enter(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size, turn))
        self._call_next()
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave(size)  # it was given just when the request stopped waiting
            elif (size, turn) in self._queue:
                self._queue.remove((size, turn))
                self._call_next()  # smaller ones behind may fit
            if isinstance(error, TimeoutError):
                raise _too_busy() from None
            raise

    def _leave(self, size: int) -> None:
        self._free += size
        self._call_next()

    def _call_next(self) -> None:
        """Let in the first requests, for as long as they fit."""
        while self._queue:
            size, turn = self._queue[0]
            if size > self._free and not turn.done():
                break
            self._queue.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)
        metrics.UPLOAD_BYTES.set(self._capacity - self._free)


def _too_busy() -> ApiProblem:
    return ApiProblem(
        503,
        "too_busy",
        "too many photos are on their way in; try again",
        headers={"Retry-After": _RETRY_AFTER},
    )
