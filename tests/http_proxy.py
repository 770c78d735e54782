"""A small forward proxy on loopback that remembers what it was asked."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

#: Every variable that some client takes for a proxy's address.
VARIABLES = tuple(
    spelt for name in ("http_proxy", "https_proxy", "all_proxy") for spelt in (name, name.upper())
)

_CHUNK = 64 * 1024


class HttpProxy:
    """Passes requests on, plain ones and tunnels.

    Attributes:
        asked: the first line of the first request of each connection.
        port: where it listens.
    """

    def __init__(self, login: str | None = None) -> None:
        """Ask for this user and password, ``user:password``, if any."""
        self.asked: list[str] = []
        self.port = 0
        self._login = login

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        """The environment of a program that is to go through it for everything."""
        return dict.fromkeys(VARIABLES, self.url) | {"no_proxy": "", "NO_PROXY": ""}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            if self._refuses(head):
                writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                await _pass_on(line, head, reader, writer)
        writer.close()

    def _refuses(self, head: bytes) -> bool:
        if self._login is None:
            return False
        wanted = b"proxy-authorization: basic " + b64encode(self._login.encode()).lower()
        return wanted not in head.lower()


async def _pass_on(
    line: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    method, target, _ = line.split()
    url = urlsplit(f"//{target}" if method == "CONNECT" else target)
    there, back = await asyncio.open_connection(url.hostname, url.port or 80)
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    else:
        back.write(head)  # servers take a whole URL in the first line
    await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_proxy(login: str | None = None) -> AsyncIterator[HttpProxy]:
    """A proxy while it listens on a free port of loopback."""
    proxy = HttpProxy(login)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
