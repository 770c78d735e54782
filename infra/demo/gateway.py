"""The HTTP API and console of the demonstration: on loopback, without keys."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from config.settings import ApiSettings
from infra.demo.demo_workers import ListeningProcess

#: Both of its addresses: a browser takes whichever answers first.
_HOST = "localhost"

_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.5


class Gateway(ListeningProcess):
    """``fecapass api``, on its usual port or, where that is taken, on another one."""

    def __init__(
        self, environment: Mapping[str, str], logs: Path, usual: int | None = None
    ) -> None:
        """Start it.

        Args:
            environment: FECAPASS_* variables in addition to those of this process.
            logs: folder for its log.
            usual: the port to take if it is free, 0 for any; by default that of the settings.
        """
        self._usual = int(ApiSettings.model_fields["port"].default) if usual is None else usual
        super().__init__(
            ("api", "--host", _HOST, "--port", str(self._usual), "--any-port"),
            {"FECAPASS_API__AUTH": "false", **environment},
            logs / "api.log",
            group="API",
            health="/health/live",
        )

    async def health(self, patience: float) -> dict[str, Any] | None:
        """The body of ``/health``, as soon as all is well and processed, or after the patience.

        Args:
            patience: seconds; the consumer lag that it reports may be some seconds old.

        Returns:
            The last answer; None when there was none.
        """
        deadline = time.monotonic() + patience
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        body: dict[str, Any] | None = None
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.get(f"{self.address}/health") as response:
                        body = await response.json()
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    body = None
                if (body and _is_settled(body)) or time.monotonic() > deadline:
                    return body
                await asyncio.sleep(_POLL_SECONDS)

    @property
    def moved(self) -> bool:
        """Whether the usual port was taken.

        Raises:
            DemoError: it does not listen yet.
        """
        return self._usual not in {0, urlsplit(self.address).port}


def _is_settled(health: dict[str, Any]) -> bool:
    return not health["problems"] and not any(
        group["messages"] for group in health["pipeline"]["lag"].values()
    )
