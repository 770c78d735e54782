"""A Postgres server with a standby, and one address for both of them."""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from config.settings import DatabaseSettings, MainDatabaseSettings
from infra.database.migrate import migrate
from infra.embedded.postgres.postgres_account import unprivileged_account
from infra.embedded.postgres.postgres_placement import postgres_home
from infra.embedded.postgres.postgres_server import USER, Postgres
from infra.processes.ports import Ports
from tests.chaos.proxy import Proxy

PASSWORD = "standby"  # noqa: S105 - of servers that exist only for a test
DATABASE = "fecapass_main"


@dataclass
class Pair:
    """Two servers; the address is that of the primary until a test redirects it."""

    primary: Postgres
    standby: Postgres
    proxy: Proxy

    def settings(self, **changes) -> DatabaseSettings:
        """Settings with the common address."""
        defaults = {"port": self.proxy.port, "connect_timeout": 2.0, "command_timeout": 5.0}
        return MainDatabaseSettings(user=USER, password=SecretStr(PASSWORD), **defaults | changes)

    async def promote(self) -> None:
        """Make the standby the primary; returns when it accepts writes."""
        await ask(self.standby, "SELECT pg_promote(true, 60)")


async def ask(server: Postgres, *statements: str):
    """Run statements over a separate connection; returns the value of the last one."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=server.port, user=USER, password=PASSWORD, database="postgres"
    )
    try:
        return [await connection.fetchval(one) for one in statements][-1]
    finally:
        await connection.close()


@asynccontextmanager
async def running_pair(directory: Path) -> AsyncIterator[Pair]:
    """Start both servers; the standby begins with a copy of the primary's files."""
    places = [directory / name for name in ("first", "second")]
    for place in places:
        place.mkdir()
        place.chmod(0o711)
    ports = Ports()
    primary, standby = (
        Postgres(place, place / "log", ports.take(), PASSWORD, [DATABASE]) for place in places
    )
    proxy = Proxy(primary.port)
    await proxy.start()
    pair = Pair(primary, standby, proxy)
    try:
        start(primary)
        await migrate("main", pair.settings(), lambda _line: None)
        primary.stop()
        _follow(primary, places[1])
        start(primary)
        start(standby)
        yield pair
    finally:
        await proxy.stop()
        standby.kill()
        primary.kill()
        ports.release()


def start(server: Postgres) -> None:
    """Start a server and wait until it answers."""
    server.start()
    server.wait_ready()


def _follow(primary: Postgres, place: Path) -> None:
    """Copy the files of the stopped primary to a standby, and make it replicate."""
    target = postgres_home(place, unprivileged_account()) / "data"
    subprocess.run(["cp", "-a", primary.directory / "data", target], check=True)
    signal = target / "standby.signal"
    signal.touch(mode=0o600)
    owner = target.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    with (target / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user={USER}"
            f" password={PASSWORD}'\n"
        )
