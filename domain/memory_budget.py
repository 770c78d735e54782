"""How much memory images may take at once, in a whole process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Budget:
    """Units of a limited resource, lent in the order of the requests.

    A caller that asks for more than the total gets all of it, when no other caller has any. Ask
    once for everything that is needed together: asking for more while holding some can wait for
    ever.
    """

    def __init__(self, total: int) -> None:
        """Make a budget of ``total`` units."""
        self.total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def lent(self) -> int:
        """How many units are lent."""
        return self.total - self._free

    @asynccontextmanager
    async def hold(self, units: int) -> AsyncIterator["Share"]:
        """Wait for so many units, and give back what is left of them at the end."""
        share = Share(self, min(units, self.total))
        await self._take(share.units)
        try:
            yield share
        finally:
            share.shrink(0)

    def give_back(self, units: int) -> None:
        """Return units; the caller that has waited longest gets them."""
        self._free += units
        self._serve()

    async def _take(self, units: int) -> None:
        if units == 0:
            return  # nothing is needed, so there is nothing to wait for
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((units, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._serve()  # the next request may fit
            else:
                self.give_back(units)
            raise

    def _serve(self) -> None:
        while self._waiting:
            units, turn = self._waiting[0]
            if not turn.cancelled():
                if units > self._free:
                    return
                self._free -= units
                turn.set_result(None)
            self._waiting.popleft()


class Share:
    """Units that were lent."""

    def __init__(self, budget: Budget, units: int) -> None:
        """Hold ``units`` of ``budget``."""
        self.units = units
        self._budget = budget

    def shrink(self, units: int) -> None:
        """Keep at most so many units, and give the others back."""
        surplus = max(0, self.units - units)
        self.units -= surplus
        self._budget.give_back(surplus)


def groups(items: Iterable[Item], cost: Callable[[Item], int], most: int) -> list[list[Item]]:
    """Cut a sequence into runs with a maximum total cost each.

    An item that costs more is a separate run.
    """
    runs: list[list[Item]] = []
    room = 0
    for item in items:
        units = cost(item)
        if not runs or units > room:
            runs.append([])
            room = most
        runs[-1].append(item)
        room -= units
    return runs
