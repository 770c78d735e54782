"""A process that has been told to end ends, even if a thread of it hangs."""

import logging
import os
import threading
from typing import Self

logger = logging.getLogger(__name__)

_EXIT_CODE = 1


class BoundedEnd:
    """Ends the process by force when its orderly end takes too long.

    Python waits for its threads, and one that hangs in a model or a driver would keep a worker
    that can do nothing any more. Nothing is lost by force: what was not acknowledged is delivered
    again. Use it as the outermost context manager: leaving it calls the end off.
    """

    def __init__(self, seconds: float) -> None:
        """Take the bound, in seconds; nothing runs before `begin`."""
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """The orderly end begins now; harmless when it has begun."""
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
        logger.critical("no orderly end within %.0f s: ended by force", self._seconds)
        logging.shutdown()
        os._exit(_EXIT_CODE)
