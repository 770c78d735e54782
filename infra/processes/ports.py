"""Ports for programs that cannot bind port 0 and report the port that they got.

Before a server binds a port that was found free, another process of ours could find the same port.
So a port is reserved first: by a Unix socket with an abstract name, which the kernel gives to one
process at a time, sees in the same network namespace as the port itself, and drops with its holder,
however that ends. Programs that know nothing of this are kept away by the range: they let Linux
choose, which begins at 32768.
"""

import contextlib
import secrets
import socket
from typing import Self

_LOWEST, _HIGHEST = 10_240, 22_000
_ATTEMPTS = 1000


class NoPortError(OSError):
    """No free port was found."""


class Ports:
    """Ports that no other process of ours takes until they are released, or this process ends."""

    def __init__(self, *, also: int = 0) -> None:
        """Hold none yet.

        Args:
            also: the port so many higher is taken with each; at most 10,000.
        """
        self._offsets = sorted({0, also})
        self._held: dict[int, list[socket.socket]] = {}

    def take(self, preferred: int | None = None) -> int:
        """Reserve a port on which no program listens.

        Args:
            preferred: the one to take if it is free.

        Raises:
            NoPortError: none is free.
        """
        if preferred is not None and self._reserve(preferred):
            return preferred
        for _ in range(_ATTEMPTS):
            port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
            if self._reserve(port):
                return port
        raise NoPortError(f"no free port between {_LOWEST} and {_HIGHEST}")

    def release(self) -> None:
        """Let others have them; harmless when none is held."""
        for sockets in self._held.values():
            for each in sockets:
                each.close()
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def _reserve(self, port: int) -> bool:
        with contextlib.ExitStack() as attempt:
            sockets = []
            for number in (port + offset for offset in self._offsets):
                held = attempt.enter_context(socket.socket(socket.AF_UNIX))
                try:
                    held.bind(f"\0fecapass-port-{number}")
                except OSError:
                    return False
                if not is_free(number):
                    return False
                sockets.append(held)
            attempt.pop_all()
            self._held[port] = sockets
            return True


def is_free(port: int) -> bool:
    """Whether no program listens on the port, on any IPv4 address of this machine."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
