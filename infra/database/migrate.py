"""Brings the schema of both databases up to date: databases, extension, migrations, partitions."""

import asyncio
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Literal

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Index, MetaData, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex

from config.settings import DatabaseSettings
from sinks.main.models.model_schema import ModelRow
from sinks.main.people.correction_schema import CorrectionRow
from sinks.main.people.people_schema import PeopleMessageRow
from sinks.main.schema import GalleryTemplate
from sinks.main.snapshots.snapshot_schema import SnapshotRow
from sinks.main.unknowns.unknown_schema import UnknownRow
from sinks.main.visit_schema import VisitRow
from sinks.postgres.connect import Connector
from sinks.postgres.driver_errors import typed_failures
from sinks.store_errors import StoreUnavailable
from sinks.vector.unknowns.unknown_vectors_schema import UnknownTemplateRow
from sinks.vector.vector_database import PGVECTOR_MINIMUM, is_recent, require_pgvector
from sinks.vector.vector_store import Vectors

Report = Callable[[str], None]
Which = Literal["main", "vector"]

#: One of each module of models, so that all tables are there.
_MAIN_MODELS = (VisitRow, SnapshotRow, ModelRow, PeopleMessageRow, UnknownRow, CorrectionRow)
_VECTOR_MODELS = (GalleryTemplate, UnknownTemplateRow)

METADATA: dict[Which, MetaData] = {
    "main": _MAIN_MODELS[0].metadata,
    "vector": _VECTOR_MODELS[0].metadata,
}

#: Indexes of an older release, which uses them until their replacements exist.
SUPERSEDED: dict[Which, Sequence[str]] = {
    "main": ("events_camera_time", "faces_camera_time", "faces_time", "faces_user_time"),
    "vector": (),
}

_HNSW_OF_PARTITIONS = r"""
SELECT index.relname FROM pg_class AS index
JOIN pg_am ON pg_am.oid = index.relam AND pg_am.amname = 'hnsw'
JOIN pg_index ON pg_index.indexrelid = index.oid
JOIN pg_inherits ON pg_inherits.inhrelid = pg_index.indrelid
WHERE pg_inherits.inhparent = to_regclass('face_embeddings') AND index.relname LIKE '%\_hnsw'
ORDER BY index.relname
"""

#: Keeps two initialisers apart; held by the migrating transaction. Any constant would do.
_LOCK = 0x66656361_6D696772

#: The same for those who make indexes, held by their sessions.
_INDEX_LOCK = 0x66656361_696E6478
_INDEX_PAUSE = 0.1

#: The database that every server has, to create others from.
_MAINTENANCE_DATABASE = "postgres"

_NO_SUCH_DATABASE = "3D000"


async def ensure_database(settings: DatabaseSettings, report: Report) -> None:
    """Create a database unless it is there.

    Raises:
        StoreUnavailable: the server is not there, or does not permit it.
    """
    store = f"database {settings.safe_url}"
    try:
        await (await Connector(settings, store).open()).close()
    except StoreUnavailable as failure:
        if failure.state != _NO_SUCH_DATABASE:
            raise
    else:
        return
    elsewhere = settings.model_copy(update={"name": _MAINTENANCE_DATABASE})
    connection = await Connector(elsewhere, store).open()
    with typed_failures(store, "create it"):
        try:
            statement = await connection.fetchval(
                "SELECT format('CREATE DATABASE %I', $1::text)", settings.name
            )
            await connection.execute(statement)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # another process was faster
        finally:
            await connection.close()
    report(f"created database {settings.name}")


async def ensure_pgvector(settings: DatabaseSettings, report: Report) -> None:
    """Install the extension, or bring it to a version that can be trusted.

    Raises:
        StoreUnavailable: the server has none that is new enough, or does not permit it.
    """
    store = f"vector database {settings.safe_url}"
    connection = await Connector(settings, store).open()
    with typed_failures(store, "install the extension pgvector"):
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
        async_creator=Connector(settings, store, patient=True).open,
        poolclass=NullPool,
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


async def ensure_indexes(which: Which, settings: DatabaseSettings, report: Report) -> None:
    """Make those indexes that are to be made while others write to their tables.

    One that was cut off while it was made is made again. Those whose place they take are dropped.

    Raises:
        StoreUnavailable: the server is not there.
    """
    store = f"{which} database {settings.safe_url}"
    indexes = [
        index
        for table in METADATA[which].sorted_tables
        for index in sorted(table.indexes, key=lambda one: str(one.name))
        if index.dialect_options["postgresql"]["concurrently"]
    ]
    connection = await Connector(settings, store, patient=True).open()
    with typed_failures(store, "make indexes"):
        try:
            # Not by waiting for the lock: making an index waits for all who wait.
            while not await connection.fetchval(  # noqa: ASYNC110 - the lock is the server's
                "SELECT pg_try_advisory_lock($1)", _INDEX_LOCK
            ):
                await asyncio.sleep(_INDEX_PAUSE)
            for index in indexes:
                if await _ensure_index(connection, index):
                    report(f"{which} database: made index {index.name}")
            for name in (*SUPERSEDED[which], *await _of_partitions(connection)):
                if await _drop_index(connection, name):
                    report(f"{which} database: dropped index {name}")
        finally:
            await connection.close()


async def _of_partitions(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """The HNSW indexes that earlier releases made with the partition of each model.

    No search uses them, and with them every sighting is slower to write.
    """
    return [record[0] for record in await connection.fetch(_HNSW_OF_PARTITIONS)]


async def _ensure_index(connection: "asyncpg.Connection[asyncpg.Record]", index: Index) -> bool:
    """Make an index unless it exists and is complete; returns whether it was made."""
    valid = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index.name
    )
    if valid:
        return False
    await _drop_index(connection, str(index.name))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    await connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    return True


async def _drop_index(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> bool:
    """Drop an index if it exists; returns whether it did."""
    there = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)
    if there:
        await connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
    return bool(there)


async def ensure_models(
    settings: DatabaseSettings, models: Sequence[tuple[str, int]], report: Report
) -> None:
    """Make room for the embeddings of each model.

    Args:
        settings: the vector database.
        models: id and dimension of each.
        report: called for each step.

    Raises:
        StoreUnavailable: the server is not there.
        StoreRejected: a model is there with another dimension.
    """
    async with Vectors(settings) as vectors:
        for model, dimension in models:
            made = await vectors.ensure_model(model, dimension)
            what = "made room for" if made else "has room for"
            report(f"vector database: {what} model {model}, dimension {dimension}")


async def _pgvector_version(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    version: str | None = await connection.fetchval(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    )
    return version
