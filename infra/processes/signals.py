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


def take_sigterm_for_ctrl_c() -> None:
    """Have SIGTERM, as of ``timeout`` or CI, end what was started, and not this program alone.

    Servers and workers have sessions of their own, and containers an engine: they outlive a
    program that dies at once. Further SIGTERMs change nothing, for make sends a second one to a
    program that has had one with its whole group; Ctrl-C still hurries.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, _already_ending)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def _already_ending(*_: object) -> None:
    """Not SIG_IGN: programs started to clean up would inherit that."""
