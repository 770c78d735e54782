"""Worker processes of the demonstration: start, watch, stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import aiohttp

from config.network.listening import Address, announced
from infra.demo.demo_errors import DemoError

#: How long a worker may take to be healthy: models are prepared on the first start, and joining
#: a consumer group takes up to 18 seconds.
READY_SECONDS = 120.0

_POLL_SECONDS = 0.2
_TAIL_BYTES = 3000
_TAIL_LINES = 15


class CommandProcess:
    """One ``fecapass`` command in a separate process, with its output in a log file.

    Attributes:
        program: the module that is run.
        title: what it is called in messages.
        log: file with its output.
    """

    program: ClassVar[str] = "infra.cli.main"

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it.

        Args:
            arguments: of ``fecapass``.
            environment: FECAPASS_* variables in addition to those of this process.
            log: file that takes its output; an old one is replaced.
        """
        self.title = " ".join(("fecapass", *arguments))
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                # A Ctrl-C of the terminal goes to us alone; we stop the workers in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """The last lines of the log."""
        try:
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            DemoError: it has; with the log's last lines.
        """
        if self.returncode is not None:
            raise DemoError(
                f"{self.title} ended with exit code {self.returncode}; "
                f"the end of {self.log}:\n{self.tail()}"
            )

    async def wait(self, seconds: float) -> None:
        """Wait for a command that ends by itself.

        Raises:
            DemoError: it failed, or took too long.
        """
        try:
            await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise DemoError(
                f"{self.title} took longer than {seconds:g} s; see {self.log}"
            ) from None
        if self.returncode != 0:
            self.check()

    async def stop(self, seconds: float) -> None:
        """End it by SIGTERM, after so many seconds by SIGKILL; harmless when it has ended."""
        if self.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


class ListeningProcess(CommandProcess):
    """A command that chooses a port and writes its address to a file.

    No port is chosen here: another program may take a free port before the command does. Only an
    answer with the instance in the file counts, since another program may reuse the port.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        group: str = "WORKERS",
        health: str = "/health",
    ) -> None:
        """Start it.

        Args:
            arguments: of ``fecapass``.
            environment: FECAPASS_* variables in addition to those of this process.
            log: file for its output; the file with the address is next to it.
            group: of the settings that name the file.
            health: path of which 200 says that it is ready.
        """
        self._health = health
        self._address_file = log.with_suffix(".address")
        self._address_file.unlink(missing_ok=True)
        variable = f"FECAPASS_{group}__ADDRESS_FILE"
        file = str(self._address_file.absolute())
        super().__init__(arguments, {**environment, variable: file}, log)

    @property
    def address(self) -> str:
        """The URL that it listens on.

        Raises:
            DemoError: it does not listen yet.
        """
        found = self._announced()
        if found is None:
            raise DemoError(f"{self.title} does not listen yet; see {self.log}")
        return found.url

    async def ready(self, seconds: float = READY_SECONDS) -> Self:
        """Wait until it answers 200, as the instance in its address file.

        Raises:
            DemoError: it ended, or took too long; with the log's last lines.
        """
        deadline = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self.check()
                found = self._announced()
                if found is not None and await _is_healthy(session, found, self._health):
                    return self
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{self.title} was not healthy within {seconds:g} s; "
                        f"the end of {self.log}:\n{self.tail()}"
                    )
                await asyncio.sleep(_POLL_SECONDS)

    def _announced(self) -> Address | None:
        found = announced(self._address_file)
        return found if found is not None and found.pid == self.pid else None


class Worker(ListeningProcess):
    """``fecapass worker`` of a role, with its health endpoint."""

    def __init__(self, kind: str, environment: Mapping[str, str], logs: Path) -> None:
        """Start it; see `CommandProcess`."""
        self.kind = kind
        super().__init__(
            ("worker", kind),
            {
                **environment,
                "FECAPASS_WORKERS__HEALTH_HOST": "127.0.0.1",
                "FECAPASS_WORKERS__HEALTH_PORT": "0",
            },
            logs / f"worker-{kind}.log",
        )


async def _is_healthy(session: aiohttp.ClientSession, address: Address, path: str) -> bool:
    """Whether that instance, and no other, answers 200."""
    try:
        async with session.get(address.url + path) as response:
            body = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
    return response.ok and isinstance(body, dict) and body.get("instance") == address.instance
