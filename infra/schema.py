"""Brings the schema of both databases up to date: databases, extension, migrations, partitions."""

from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Literal

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from config.settings import DatabaseSettings
from sinks.errors import StoreUnavailable
from sinks.postgres import typed_failures
from sinks.schema import MainBase, VectorBase
from sinks.vectors import PGVECTOR_MINIMUM, Vectors, is_recent, require_pgvector

Report = Callable[[str], None]
Which = Literal["main", "vector"]

METADATA: dict[Which, MetaData] = {"main": MainBase.metadata, "vector": VectorBase.metadata}

#: Keeps two initialisers apart; held by the migrating transaction. Any constant would do.
_LOCK = 0x66656361_6D696772

#: The database that every server has, to create others from.
_MAINTENANCE_DATABASE = "postgres"


async def ensure_database(settings: DatabaseSettings, report: Report) -> None:
    """Create a database unless it is there.

    Raises:
        StoreUnavailable: the server is not there, or does not permit it.
    """
    store = f"database {settings.safe_url}"
    with typed_failures(store, "connect"):
        try:
            await (await _connect(settings)).close()
        except asyncpg.InvalidCatalogNameError:
            pass
        else:
            return
    with typed_failures(store, "create it"):
        connection = await _connect(settings, _MAINTENANCE_DATABASE)
        try:
            statement = await connection.fetchval(
                "SELECT format('CREATE DATABASE %I', $1::text)", settings.name
            )
            await connection.execute(statement)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # somebody else was quicker
        finally:
            await connection.close()
    report(f"created database {settings.name}")


async def ensure_pgvector(settings: DatabaseSettings, report: Report) -> None:
    """Install the extension, or bring it to a version that can be trusted.

    Raises:
        StoreUnavailable: the server has none that is new enough, or does not permit it.
    """
    store = f"vector database {settings.safe_url}"
    with typed_failures(store, "install the extension pgvector"):
        connection = await _connect(settings)
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                before = await _pgvector_version(connection)
                if before is None:
                    await connection.execute("CREATE EXTENSION vector")
                elif not is_recent(before):
                    await connection.execute("ALTER EXTENSION vector UPDATE")
                await require_pgvector(connection, store)
                after = await _pgvector_version(connection)
        finally:
            await connection.close()
    verb = "is there" if before == after else "installed"
    report(f"vector database: pgvector {after} {verb} ({PGVECTOR_MINIMUM} or later is needed)")


async def migrate(which: Which, settings: DatabaseSettings, report: Report) -> None:
    """Bring the tables of one database to the newest revision.

    Raises:
        StoreUnavailable: the server is not there.
    """
    store = f"{which} database {settings.safe_url}"
    steps: list[str] = []

    def upgrade(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        with as_file(files("infra") / "migrations" / which) as scripts:
            config = Config()
            config.set_main_option("script_location", str(scripts).replace("%", "%%"))
            config.attributes["connection"] = connection
            config.attributes["metadata"] = METADATA[which]
            config.attributes["steps"] = steps
            command.upgrade(config, "head")

    engine = create_async_engine(
        settings.sqlalchemy_url,
        poolclass=NullPool,
        connect_args={"timeout": settings.connect_timeout, "ssl": settings.tls.argument()},
    )
    try:
        with typed_failures(store, "migrate"):
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
    except DBAPIError as error:
        raise StoreUnavailable(store, "migrate", str(error.orig)) from error
    finally:
        await engine.dispose()
    for step in steps:
        report(f"{which} database: applied migration {step}")
    if not steps:
        report(f"{which} database: tables are up to date")


async def ensure_models(
    settings: DatabaseSettings, models: Sequence[tuple[str, int]], report: Report
) -> None:
    """Make room for the embeddings of each model.

    Args:
        settings: the vector database.
        models: id and dimension of each.
        report: told of each step.

    Raises:
        StoreUnavailable: the server is not there.
        StoreRejected: a model is there with another dimension.
    """
    async with Vectors(settings) as vectors:
        for model, dimension in models:
            made = await vectors.ensure_model(model, dimension)
            what = "made room for" if made else "has room for"
            report(f"vector database: {what} model {model}, dimension {dimension}")


async def _connect(
    settings: DatabaseSettings, database: str | None = None
) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password.get_secret_value(),
        database=database or settings.name,
        ssl=settings.tls.argument(),
        timeout=settings.connect_timeout,
        command_timeout=settings.command_timeout,
    )


async def _pgvector_version(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    version: str | None = await connection.fetchval(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    )
    return version
