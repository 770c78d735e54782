"""A checkout of Fecapass, this one or an older one, run by what has to stay the same.

Its servers and workers are started by its own commands (``fecapass up``, ``init-db``, ``worker``)
in a process tree of their own. Frames go in by the event contract, results are read in the ledger.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.system.servers import Consumer, server_directory
from config.network.listening import announced
from config.settings import ENV_FILE_VARIABLE, ENV_PREFIX, Settings
from infra.embedded.stack import settings_from

#: Seconds in which servers must be up.
_UP_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1
_TAIL_LINES = 15

#: The checkout that this module belongs to.
HERE_FOLDER = Path(__file__).parents[2]

_PROGRAM = "infra.cli.main"

WORKERS = ("detect", "identify")


class CheckoutError(Exception):
    """A command of a checkout failed or took too long."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout and how it is run.

    Attributes:
        name: what it is called in results.
        folder: its top folder.
        variables: FECAPASS_* to set differently.
        workers: the module that runs ``worker``.
    """

    name: str
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: str = _PROGRAM

    @property
    def python(self) -> str:
        """The interpreter of its ``.venv``, or the present one where it has none."""
        own = self.folder / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    def has(self, variable: str) -> bool:
        """Whether it has a setting: ``.env.example`` names every one of a release."""
        return variable in (self.folder / ".env.example").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Running servers of a checkout, with their stores set up.

    Attributes:
        checkout: whose.
        data: directory of the servers' data and of all logs.
        settings: lead to the servers.
        environment: of its commands.
        pids: the servers' processes by name.
    """

    checkout: Checkout
    data: Path
    settings: Settings
    environment: Mapping[str, str]
    pids: Mapping[str, int]

    def with_workers(self, program: str, variables: Mapping[str, str]) -> "Deployment":
        """The same servers for workers that another module runs, with other settings."""
        return replace(
            self,
            checkout=replace(self.checkout, workers=program),
            environment={**self.environment, **variables},
        )

    async def run(self, *arguments: str, codes: Sequence[int] = (0,)) -> None:
        """Run a command that ends by itself, with one of these exit codes.

        Raises:
            CheckoutError: it failed, or took too long.
        """
        command = _Command(self.checkout, arguments, self.environment, self.data)
        try:
            await command.ended(_UP_SECONDS, codes)
        finally:
            await command.stop()


@asynccontextmanager
async def deployed(checkout: Checkout) -> AsyncIterator[Deployment]:
    """Servers in a temporary directory, set up; they are stopped and removed at the end.

    Raises:
        CheckoutError: a command failed or took too long.
    """
    async with AsyncExitStack() as up:
        data = up.enter_context(server_directory())
        plain = {name: one for name, one in os.environ.items() if not _is_setting(name)}
        plain["PYTHONPATH"] = str(checkout.folder)
        servers = _Command(checkout, ("up", "--data-dir", str(data / "servers")), plain, data)
        up.push_async_callback(servers.stop)
        file = data / "servers" / "stack.env"
        deadline = time.monotonic() + _UP_SECONDS
        while not file.exists():
            servers.check()
            if time.monotonic() > deadline:
                raise CheckoutError(f"the servers of {checkout.folder} did not start")
            await asyncio.sleep(_POLL_SECONDS)
        lines = file.read_text(encoding="utf-8").splitlines()
        variables = dict(line.split("=", 1) for line in lines if "=" in line)
        settings = settings_from(variables)
        records = json.loads((data / "servers" / "servers.json").read_text(encoding="utf-8"))
        pids = {str(one["name"]): int(one["pid"]) for one in records}
        environment = {
            **plain,
            ENV_FILE_VARIABLE: str(file),
            "FECAPASS_WORKERS__HEALTH_PORT": "0",
            **checkout.variables,
        }
        deployment = Deployment(checkout, data, settings, environment, pids)
        await deployment.run("init-db")
        yield deployment


@asynccontextmanager
async def working(
    deployment: Deployment, kinds: Sequence[str] = WORKERS
) -> AsyncIterator[Consumer]:
    """Workers of a deployment; they may still be joining their groups.

    Args:
        deployment: the servers.
        kinds: a worker of each.

    Raises:
        CheckoutError: a worker ended.
        TimeoutError: a worker does not say where it listens.
    """
    async with AsyncExitStack() as up:
        workers: dict[str, _Command] = {}
        addresses: list[str] = []

        def check() -> None:
            for worker in workers.values():
                worker.check()

        for kind in kinds:
            workers[kind] = _Command(
                deployment.checkout,
                ("worker", kind),
                {**deployment.environment, **_address_file(deployment, kind)},
                deployment.data,
                deployment.checkout.workers,
            )
            up.push_async_callback(workers[kind].stop)
        for kind in kinds:
            for file in _address_file(deployment, kind).values():
                async with asyncio.timeout(_UP_SECONDS):
                    while (found := announced(Path(file))) is None or (
                        found.pid != workers[kind].pid
                    ):
                        check()
                        await asyncio.sleep(_POLL_SECONDS)
                addresses.append(found.url)
        pids = {f"worker {kind}": worker.pid for kind, worker in workers.items()}
        yield Consumer(
            settings=deployment.settings,
            pids={**deployment.pids, **pids},
            addresses=addresses,
            check=check,
        )


def _address_file(deployment: Deployment, kind: str) -> dict[str, str]:
    """The variable of the file in which a worker says where it listens, in releases that do."""
    variable = f"{ENV_PREFIX}WORKERS__ADDRESS_FILE"
    if not deployment.checkout.has(variable):
        return {}
    return {variable: str(deployment.data / f"{kind}.address")}


class _Command:
    """One ``fecapass`` command of a checkout, with its output in a log file."""

    def __init__(
        self,
        checkout: Checkout,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
        program: str = _PROGRAM,
    ) -> None:
        self._title = " ".join((checkout.name + ": fecapass", *arguments))
        self._log = logs / f"{'-'.join(arguments[:2]).strip('-')}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [checkout.python, "-m", program, *arguments],
                cwd=checkout.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise if it has ended."""
        if self._process.poll() is not None:
            raise CheckoutError(self._failure())

    async def ended(self, seconds: float, codes: Sequence[int]) -> None:
        """Wait until it ends by itself."""
        try:
            await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise CheckoutError(f"{self._title} took longer than {seconds:g} s") from None
        if self._process.returncode not in codes:
            raise CheckoutError(self._failure())

    async def stop(self) -> None:
        """End it by SIGTERM, in the end by SIGKILL; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _failure(self) -> str:
        last = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"{self._title} ended with exit code {self._process.returncode}:", *last])


def _is_setting(name: str) -> bool:
    """Whether a variable is a setting in a group; others, as of the run's guard, are kept."""
    return name.startswith(ENV_PREFIX) and "__" in name
