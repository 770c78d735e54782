"""A TCP proxy between the workers and one server that can simulate network failures."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

_CHUNK = 64 * 1024

#: SO_LINGER with a timeout of 0: closing a connection sends RST, as a restarted host does.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Slow:
    """A slow network: latency in seconds for each chunk, and a bandwidth."""

    latency: float
    bytes_per_second: float


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.blackholed = False

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
        self._blackholed = False
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen, by default on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and reset all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> int:
        """Reset all connections; returns how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def redirect_to(self, target: int) -> None:
        """Send new connections to another port, as when a host name gets another address."""
        self._target = target

    def slow_down(self, slow: Slow | None) -> None:
        """Make the network slow; None makes it fast again."""
        self._slow = slow

    def blackhole(self) -> None:
        """Drop all data silently from now on.

        Connections of this time stay dead, as when a firewall drops them: each side has to detect
        it itself. After `restore` new connections work.
        """
        self._blackholed = True
        for link in self._links:
            link.blackholed = True

    def restore(self) -> None:
        """Forward new connections again."""
        self._blackholed = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        link.blackholed = self._blackholed
        self._links.add(link)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            link.writers.append(to_server)
            await asyncio.gather(
                self._forward(link, reader, to_server), self._forward(link, from_server, writer)
            )
        except OSError:
            pass
        finally:
            link.reset()
            self._links.discard(link)

    async def _forward(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward chunks until this side closes."""
        while chunk := await reader.read(_CHUNK):
            if self._slow is not None:
                delay = self._slow.latency + len(chunk) / self._slow.bytes_per_second
                await asyncio.sleep(delay)
            if link.blackholed:
                continue
            writer.write(chunk)
            await writer.drain()
        if link.blackholed:
            # The other side is not informed that this side has closed.
            return
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
