"""Keeps the order of results per key while batches overlap."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class _Turn:
    keys: frozenset[bytes]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """Batches with a common key send their results in the order of their start; others do not wait.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._taken: list[_Turn] = []

    @contextmanager
    def take(self, keys: Iterable[bytes]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Take a turn after all earlier turns with a common key.

        Args:
            keys: the keys whose order is kept.

        Yields:
            A function that waits for the turn. The turn ends with the context, also on an error.
        """
        turn = _Turn(frozenset(keys))
        ahead = [one for one in self._taken if not one.keys.isdisjoint(turn.keys)]

        async def come() -> None:
            for one in ahead:
                await one.over.wait()

        self._taken.append(turn)
        try:
            yield come
        finally:
            self._taken.remove(turn)
            turn.over.set()
