"""The lifecycle that every embedded server has."""

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infra.embedded.child_process import Child
from infra.embedded.embedded_errors import StackError
from infra.embedded.postgres.postgres_account import Account
from infra.embedded.private_files import tail
from infra.embedded.server_processes import Record, children, owns_port, signal_all, wait_gone
from infra.embedded.stack_state import LOOPBACK

POLL_SECONDS = 0.05


class NotReadyError(Exception):
    """The server does not answer yet; the message says what it lacks."""


@dataclass(frozen=True)
class Command:
    """How a server is started.

    Attributes:
        arguments: the argument list; one of them holds the server's `Server.marker`.
        executable: the program, if the first argument is not its path.
        account: the account to run as, None for the present one.
        environment: variables in addition to the few that every server gets.
    """

    arguments: Sequence[str]
    executable: str | None = None
    account: Account | None = None
    environment: tuple[tuple[str, str], ...] = ()


class Server(ABC):
    """A server process: prepare its directory, start it, wait until it answers, stop it.

    A stopped or killed server can be started again; what it stored is found again, unless its
    class says that it keeps nothing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 15.0

    def __init__(self, directory: Path, log: Path, port: int) -> None:
        self.directory = directory
        self.log = log
        self.port = port
        self._child: Child | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs before it starts; harmless when it is there already."""

    @abstractmethod
    def command(self) -> Command:
        """How to start it."""

    @abstractmethod
    def check(self) -> None:
        """Ask it something that only a working server answers.

        Raises:
            NotReadyError: it did not answer.
        """

    @property
    def address(self) -> str:
        """Where clients find it, ``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def marker(self) -> str:
        """The path in the command line by which the process is recognised."""
        return str(self.directory)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.running

    @property
    def record(self) -> Record | None:
        """The running process as it is written down, None when there is none."""
        if self._child is None or not self._child.running:
            return None
        return Record(self.name, self._child.pid, self.marker)

    def start(self, before: Callable[[], None] = lambda: None) -> None:
        """Prepare and start the process; `wait_ready` waits until it answers.

        Args:
            before: called when it is prepared, and its `marker` known.

        Raises:
            StackError: it could not be started.
        """
        if self.running:
            return
        try:
            self.prepare()
            before()
            command = self.command()
            if self.log.exists():
                self.log.replace(self.log.with_suffix(".log.1"))
            with self.log.open("wb") as log:
                self._child = self._spawn(command, log.fileno())
        except OSError as error:
            raise StackError(f"cannot start {self.title}: {error}") from error

    def wait_ready(self) -> None:
        """Wait until the server answers.

        Raises:
            StackError: it ended, or it did not answer in time; the log's tail is in the message.
        """
        deadline = time.monotonic() + self.start_seconds
        while True:
            try:
                self.check()
                self._check_owner()
            except NotReadyError as error:
                lack = str(error)
            else:
                return
            if not self.running:
                code = self._child.code if self._child else None
                raise self._failure(f"ended at start with exit code {code}")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer in {self.start_seconds:.0f} s: {lack}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it gracefully; kill it when it takes too long. Harmless when it is not running."""
        self._end(self.stop_signal, self.stop_seconds)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would, and wait until all its processes are gone."""
        self._end(signal.SIGKILL, self.stop_seconds)

    def _check_owner(self) -> None:
        """What answers on the port must be this server, and none of another program.

        Raises:
            NotReadyError: it is not.
        """
        if self._child is None or not owns_port(self._child.pid, self.port):
            raise NotReadyError(f"another program answers on port {self.port}")

    def _end(self, number: signal.Signals, seconds: float) -> None:
        if self._child is None:
            return
        helpers = children(self._child.pid) if self._child.running else []
        self._child.send(number)
        if not self._child.wait(seconds):
            self._child.send(signal.SIGKILL)
            self._child.wait(seconds)
        self._end_helpers(helpers)

    def _end_helpers(self, helpers: list[int]) -> None:
        """Helpers end by themselves with their parent; until then they keep its files open."""
        left = wait_gone(helpers, self.stop_seconds)
        signal_all(left, signal.SIGKILL)
        wait_gone(left, self.stop_seconds)

    def _spawn(self, command: Command, log: int) -> Child:
        account = command.account
        process = subprocess.Popen(  # noqa: S603 - programs of installed packages, no shell
            command.arguments,
            executable=command.executable,
            cwd=self.directory,
            # Nothing of the caller's environment: each server would read its own variables there.
            env={
                "PATH": os.defpath,
                "HOME": str(self.directory),
                "LANG": "C.UTF-8",
                "TZ": "UTC",
                **dict(command.environment),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the stack, which stops its servers in order
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        return Child(process)

    def _failure(self, what: str) -> StackError:
        last = tail(self.log)
        return StackError(f"{self.title} {what}; log {self.log}" + (f":\n{last}" if last else ""))


def remove_quietly(*paths: Path) -> None:
    """Remove files that a killed run may have left, where they are there and ours."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
