"""Backup and restore of both databases, by the commands of docs/operations.md."""

import asyncio
from dataclasses import dataclass

import asyncpg

from config.settings import DatabaseSettings, Settings
from tests.compose.deployment import Deployment

_WRITERS = ("identify", "follow", "app")


class RecoveryError(Exception):
    """What was restored is not what was backed up."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database as compose and an operator know it.

    Attributes:
        service: of docker-compose.yml.
        name: of the database.
        tables: what is counted to see that all came back.
    """

    service: str
    name: str
    tables: tuple[str, ...]

    @property
    def dump(self) -> str:
        """Arguments of ``docker compose`` that write a backup to standard output."""
        return f"exec -T {self.service} pg_dump -U fecapass -Fc {self.name}"

    @property
    def restore(self) -> str:
        """Arguments of ``docker compose`` that read a backup from standard input."""
        options = "--clean --if-exists --exit-on-error"
        return f"exec -T {self.service} pg_restore -U fecapass -d {self.name} {options}"


MAIN = Database("db_main", "fecapass_main", ("events", "faces"))
VECTOR = Database("db_vector", "fecapass_vector", ("face_embeddings",))


async def comes_back(deployment: Deployment) -> dict[str, int]:
    """Back both databases up, empty them, restore them, and start who writes to them again.

    Args:
        deployment: up, with something in its databases.

    Returns:
        Rows that came back, by table.

    Raises:
        RecoveryError: there were none, or not all came back.
    """
    settings = deployment.settings()
    await asyncio.to_thread(deployment.compose, "stop", *_WRITERS)
    before = await _rows(settings)
    if not all(before.values()):
        raise RecoveryError(f"there is nothing to back up: {before}")
    dumps = {
        database: await asyncio.to_thread(deployment.pipe, *database.dump.split())
        for database in (MAIN, VECTOR)
    }
    await _empty(settings)
    for database, dump in dumps.items():
        await asyncio.to_thread(deployment.pipe, *database.restore.split(), data=dump)
    await asyncio.to_thread(deployment.compose, "run", "--rm", "--no-deps", "-T", "init")
    await asyncio.to_thread(deployment.compose, "up", "--detach", "--wait", *_WRITERS)
    after = await _rows(settings)
    if after != before:
        raise RecoveryError(f"backed up were {before}, restored {after}")
    return after


def _databases(settings: Settings) -> tuple[tuple[Database, DatabaseSettings], ...]:
    return (MAIN, settings.main_db), (VECTOR, settings.vector_db)


async def _rows(settings: Settings) -> dict[str, int]:
    rows = {}
    for database, where in _databases(settings):
        connection = await asyncpg.connect(where.dsn)
        try:
            for table in database.tables:
                rows[table] = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
        finally:
            await connection.close()
    return rows


async def _empty(settings: Settings) -> None:
    for _, where in _databases(settings):
        connection = await asyncpg.connect(where.dsn)
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            await connection.close()
