"""The HTTP API and console of the demonstration: on loopback, without keys."""

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from config.settings import ApiSettings
from infra.demo.errors import DemoError
from infra.demo.workers import CommandProcess

LOOPBACK = "127.0.0.1"

READY_SECONDS = 30.0

_POLL_SECONDS = 0.1


class Gateway(CommandProcess):
    """``fecapass api``, on its usual port or, where that is taken, on another one.

    Attributes:
        address: where a browser finds the console.
        moved: whether the usual port was taken.
    """

    def __init__(
        self, environment: Mapping[str, str], logs: Path, usual: int | None = None
    ) -> None:
        """Start it.

        Args:
            environment: FECAPASS_* variables beside those of this process.
            logs: folder that takes its log.
            usual: the port to take if it is free; by default that of the settings.
        """
        usual = usual or int(ApiSettings.model_fields["port"].default)
        port = _usual_or_free(usual)
        self.moved = port != usual
        self.address = f"http://localhost:{port}"
        super().__init__(
            ("api", "--host", LOOPBACK, "--port", str(port)),
            {"FECAPASS_API__AUTH": "false", **environment},
            logs / "api.log",
        )

    async def ready(self, seconds: float = READY_SECONDS) -> Self:
        """Wait until it answers.

        Raises:
            DemoError: it ended, or took too long; with the log's last lines.
        """
        deadline = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self.check()
                try:
                    async with session.get(f"{self.address}/health/live") as response:
                        if response.ok:
                            return self
                except (aiohttp.ClientError, TimeoutError):
                    pass
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{self.title} did not answer within {seconds:g} s; "
                        f"the end of {self.log}:\n{self.tail()}"
                    )
                await asyncio.sleep(_POLL_SECONDS)


def _usual_or_free(usual: int) -> int:
    """The usual port unless somebody listens on it; then one that the system finds free."""
    for port in (usual, 0):
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still fading away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise DemoError("there is no free port for the API")
