"""Batches that overlap, and yet hand on what they found in the order in which they began."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class _Turn:
    keys: frozenset[bytes]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """Batches that share a key hand on in the order in which they began; others do not wait.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._taken: list[_Turn] = []

    @contextmanager
    def take(self, keys: Iterable[bytes]) -> Iterator[Callable[[], Awaitable[None]]]:
        """Take a turn behind all that were taken before and are not over.

        Args:
            keys: of what order is to be kept.

        Yields:
            What waits until the turn has come. The turn is over when the context ends, however.
        """
        mine = _Turn(frozenset(keys))
        ahead = [turn for turn in self._taken if not turn.keys.isdisjoint(mine.keys)]

        async def come() -> None:
            for turn in ahead:
                await turn.over.wait()

        self._taken.append(mine)
        try:
            yield come
        finally:
            self._taken.remove(mine)
            mine.over.set()
