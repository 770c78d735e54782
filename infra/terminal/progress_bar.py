"""How far a run is, on standard error."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

One = TypeVar("One")

#: Seconds between two lines about how far a run is, where no bar can be drawn.
_REPORT_SECONDS = 5.0


def with_progress(every: Sequence[One], what: str) -> Iterator[One]:
    """Go over many things that take their time, and say on standard error how far it is.

    A bar on a terminal; a line now and then elsewhere, such as in a log. Nothing for one thing.

    Args:
        every: what is gone over.
        what: is counted, such as ``people enrolled``.
    """
    if len(every) < 2:  # noqa: PLR2004 - one is no progress
        yield from every
        return
    with progress_bar(what) as bar:
        reported_at = time.monotonic()
        _tell(0, len(every), what)
        for done, one in enumerate(every):
            bar(done, len(every))
            if time.monotonic() - reported_at >= _REPORT_SECONDS:
                reported_at = time.monotonic()
                _tell(done, len(every), what)
            yield one
        bar(len(every), len(every))
        _tell(len(every), len(every), what)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a run is, on standard error: a bar on a terminal, else lines now and then.

    Args:
        what: is counted.

    Yields:
        A function to call with the number done and the total.
    """
    with progress_bar(what) as bar:
        told_at: float | None = None

        def tell(done: int, total: int) -> None:
            nonlocal told_at
            bar(done, total)
            now = time.monotonic()
            if told_at is None or done == total or now - told_at >= _REPORT_SECONDS:
                told_at = now
                _tell(done, total, what)

        yield tell


def _tell(done: int, total: int, what: str) -> None:
    if not sys.stderr.isatty():
        sys.stderr.write(f"{done} of {total} {what}\n")
        sys.stderr.flush()


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a run is, where standard error is a terminal.

    Args:
        what: is counted.

    Yields:
        A function to call with the number done and the total.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
