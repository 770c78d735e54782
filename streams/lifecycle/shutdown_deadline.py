"""Ends a process in time, even if one of its threads hangs."""

import logging
import os
import threading
from typing import Self

logger = logging.getLogger(__name__)

_EXIT_CODE = 1


class ShutdownDeadline:
    """Ends the process by force if its shutdown takes too long.

    Python waits for its threads, and a thread that hangs in a model or a driver would keep the
    process alive. Nothing is lost: messages that were not committed are delivered again. Use it as
    the outermost context manager; leaving the context cancels the deadline.
    """

    def __init__(self, seconds: float) -> None:
        """Keep the time limit, in seconds; it starts with `begin`."""
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """The shutdown begins now; harmless when repeated."""
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._force)
            self._timer.daemon = True
            self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _force(self) -> None:
        logger.critical("the shutdown took more than %.0f s: ended by force", self._seconds)
        logging.shutdown()
        os._exit(_EXIT_CODE)
