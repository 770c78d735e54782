"""Ending on Ctrl-C (SIGINT) and SIGTERM, in order."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one acts as usual.

    Must be entered in a running event loop of the main thread.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def first(_: signal.Signals) -> None:
        stop.set()
        release()

    def release() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, first, number)
    try:
        yield stop
    finally:
        release()
