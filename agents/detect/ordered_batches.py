"""Keeps the order of a camera's frames while batches overlap."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum


class Step(IntEnum):
    """What a batch does, in this order, after the batches before it that have a common key."""

    #: It takes the memory for its images; one that waits for a step has all that it needs.
    MEMORY = 0
    #: It compares its frames with those before.
    COMPARE = 1
    #: It follows the faces of its frames.
    FOLLOW = 2
    #: It settles which tracks they belong to.
    SETTLE = 3
    #: It sends its results.
    SEND = 4


class Turn:
    """The place of a batch among those that it has a key in common with."""

    def __init__(self, keys: frozenset[bytes], ahead: Iterable["Turn"]) -> None:
        """Take a place after earlier batches.

        Args:
            keys: the keys of the batch.
            ahead: those turns that are not over; this one waits for those with a common key.
        """
        self.keys = keys
        self._ahead = [one for one in ahead if not one.keys.isdisjoint(keys)]
        self._passed = {step: asyncio.Event() for step in Step}

    async def come(self, step: Step) -> None:
        """Wait until all batches ahead have passed a step."""
        for one in self._ahead:
            await one._passed[step].wait()  # noqa: SLF001 - another of this class

    def end(self) -> None:
        """Let those behind do everything, and forget those ahead, which forget theirs."""
        self.passed(Step.SEND)
        self._ahead.clear()

    def passed(self, until: Step) -> None:
        """Let those behind do this step and all before it."""
        for step in Step:
            if step <= until:
                self._passed[step].set()


class Turns:
    """Batches with a common key take their steps in the order of their start; others do not wait.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._taken: list[Turn] = []

    @contextmanager
    def take(self, keys: Iterable[bytes]) -> Iterator[Turn]:
        """Take a turn after all earlier turns with a common key.

        Args:
            keys: the keys whose order is kept.

        Yields:
            The turn. It ends with the context, also on an error.
        """
        turn = Turn(frozenset(keys), self._taken)
        self._taken.append(turn)
        try:
            yield turn
        finally:
            self._taken.remove(turn)
            turn.end()
