"""After a failover no connection remains to the server that no longer accepts writes."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker

from sinks.main.database_sessions import create_engine, ping
from sinks.main.main_store import Records
from sinks.store_errors import StoreReadOnly, StoreUnavailable
from tests.conftest import reachable_directory
from tests.contract.builders import a_result
from tests.contract.standby import DATABASE, ask, running_pair, start
from tests.stored_records import commit_results


@pytest.fixture(scope="module")
async def pair():
    """A pair of servers; tests that promote the standby start their own pair."""
    with reachable_directory() as path:
        async with running_pair(path) as running:
            yield running


async def until_written(records, seconds=20.0):
    """Retry a commit until it succeeds; returns the failures before."""
    failures = []
    async with asyncio.timeout(seconds):
        while True:
            try:
                await commit_results(records, [a_result()])
            except StoreUnavailable as failure:
                failures.append(failure)
                await asyncio.sleep(0.05)
            else:
                return failures


async def all_connected(records, number):
    """Open a number of connections in the pool."""
    together = asyncio.Barrier(number)

    async def open_one():
        async with records._connection("test") as connection:
            await connection.fetchval("SELECT 1")
            await together.wait()

    await asyncio.gather(*(open_one() for _ in range(number)))


@asynccontextmanager
async def read_only(pair):
    """Make the database read-only and end all connections; at the end it is writable again."""
    await ask(
        pair.primary,
        f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name LIKE 'fecapass%'",
    )
    try:
        yield
    finally:
        await ask(pair.primary, f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")


async def test_field_05_no_connection_is_made_to_a_read_only_database(pair):
    async with Records(pair.settings()) as records:
        await commit_results(records, [a_result()])
        async with read_only(pair):
            with pytest.raises(StoreUnavailable):
                await commit_results(records, [a_result()])
            with pytest.raises(StoreReadOnly, match="read-only"):
                await commit_results(records, [a_result()])
            with pytest.raises(StoreReadOnly):
                await records.ping()
            with pytest.raises(StoreReadOnly, match="read-only"):
                await Records(pair.settings()).connect()
        assert await until_written(records) == []


async def test_field_05_a_connection_that_became_read_only_is_dropped_with_its_pool(pair):
    """Sessions that are already open become read-only too; each of them would fail once."""
    size = 4
    async with Records(pair.settings(pool_max=size)) as records:
        await all_connected(records, size)
        await ask(
            pair.primary,
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        )
        try:
            async with asyncio.timeout(10):
                while True:
                    try:
                        await records.ping()
                    except StoreReadOnly:
                        break
                    await asyncio.sleep(0.02)
        finally:
            await ask(
                pair.primary,
                "SET default_transaction_read_only = off",
                "ALTER SYSTEM RESET default_transaction_read_only",
                "SELECT pg_reload_conf()",
            )
        failures = await until_written(records)
        assert all(isinstance(one, StoreReadOnly) for one in failures)
        connections = await ask(
            pair.primary,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fecapass'",
        )
        assert connections <= size


async def test_field_05_a_failed_write_on_a_read_only_session_ends_it(pair):
    """Such sessions remain after a transaction pooler, or after a server was demoted."""
    async with Records(pair.settings(pool_max=2)) as records:
        async with records._connection("test") as connection:
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreReadOnly):
            await commit_results(records, [a_result()])
        assert await until_written(records) == []


async def test_field_05_sessions_of_the_api_are_dropped_too(pair):
    engine = create_engine(pair.settings(pool_max=2))
    sessions = async_sessionmaker(engine)
    try:
        await ping(sessions)
        async with read_only(pair):
            with pytest.raises((StoreUnavailable, DBAPIError)):
                await ping(sessions)
            with pytest.raises(StoreReadOnly):
                await ping(sessions)
        await ping(sessions)
        async with sessions() as session:
            process = await session.scalar(text("SELECT pg_backend_pid()"))
            await session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            await session.commit()
        with pytest.raises(DBAPIError, match="read-only"):
            async with sessions.begin() as session:
                await session.execute(text("DELETE FROM users WHERE false"))
        async with sessions() as session:
            assert await session.scalar(text("SELECT pg_backend_pid()")) != process
    finally:
        await engine.dispose()


async def test_field_05_the_api_reports_a_read_only_session(pair):
    engine = create_engine(pair.settings(pool_max=2))
    sessions = async_sessionmaker(engine)
    try:
        async with sessions() as session:
            await session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            await session.commit()
        with pytest.raises(StoreReadOnly):
            await ping(sessions)
        await ping(sessions)
    finally:
        await engine.dispose()


async def test_field_05_a_promoted_standby_is_used_at_once():
    """The address changes to the standby before the promotion, as in real deployments."""
    with reachable_directory() as path:
        async with running_pair(path) as pair:
            listed = f"127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}"
            several = pair.settings(host=listed, port=1)
            async with Records(pair.settings()) as one, Records(several) as other:
                await all_connected(one, 4)
                await commit_results(other, [a_result()])
                pair.primary.kill()
                pair.proxy.redirect_to(pair.standby.port)
                with pytest.raises(StoreUnavailable):
                    await commit_results(one, [a_result()])
                with pytest.raises(StoreReadOnly):
                    await commit_results(one, [a_result()])
                with pytest.raises(StoreUnavailable):
                    await commit_results(other, [a_result()])
                await pair.promote()
                assert await until_written(one) == []
                assert await until_written(other) == []


async def test_field_05_writes_continue_after_a_restart_of_the_server(pair):
    async with Records(pair.settings()) as records:
        await records.ping()
        pair.primary.kill()
        with pytest.raises(StoreUnavailable):
            await records.ping()
        start(pair.primary)
        await until_written(records)
