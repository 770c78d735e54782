"""A TCP proxy between the workers and one server, which can be told to misbehave."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

_CHUNK = 64 * 1024

#: Linger on, for no time: closing sends RST, as a crashed host's successor would.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Slow:
    """A bad line: every chunk waits, and then trickles."""

    latency: float
    bytes_per_second: float


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.swallowed = False

    def reset(self) -> None:
        for writer in self.writers:
            endpoint = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: where it listens; 0 before `start`.
    """

    def __init__(self, target: int) -> None:
        """Forward to the port ``target``."""
        self.port = 0
        self._target = target
        self._links: set[_Link] = set()
        self._slow: Slow | None = None
        self._swallowing = False
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen, on a free port unless one is named."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> int:
        """Reset all connections; returns how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def lead_to(self, target: int) -> None:
        """New connections go to another port from now on, as when a name is given to another."""
        self._target = target

    def slow_down(self, slow: Slow | None) -> None:
        """Make the line a bad one, or a good one again."""
        self._slow = slow

    def swallow(self) -> None:
        """From now on nothing gets through, and nobody is told.

        The connections of this time stay dead for good, as when a firewall forgets them: each
        side has to find out by itself. `heal` lets new ones through.
        """
        self._swallowing = True
        for link in self._links:
            link.swallowed = True

    def heal(self) -> None:
        """Let new connections through again."""
        self._swallowing = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        link.swallowed = self._swallowing
        self._links.add(link)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            link.writers.append(back)
            await asyncio.gather(
                self._forward(link, reader, back), self._forward(link, there, writer)
            )
        except OSError:
            pass
        finally:
            link.reset()
            self._links.discard(link)

    async def _forward(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass chunks on until this side has no more."""
        while chunk := await reader.read(_CHUNK):
            if self._slow is not None:
                delay = self._slow.latency + len(chunk) / self._slow.bytes_per_second
                await asyncio.sleep(delay)
            if link.swallowed:
                continue
            writer.write(chunk)
            await writer.drain()
        if link.swallowed:
            # The other side is not told; it may wait for as long as it likes.
            return
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
