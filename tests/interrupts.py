"""Programs of the tests that are told to end by SIGTERM, as by ``timeout`` or CI."""

import signal


def take_sigterm_for_ctrl_c() -> None:
    """Have SIGTERM end what was started, as Ctrl-C does, and not this program alone.

    Servers and workers have sessions of their own, and outlive a program that dies at once.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
