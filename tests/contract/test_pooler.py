"""PgBouncer: session pooling is supported, all other modes are refused at the start."""

import asyncio
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from infra.embedded.postgres.postgres_account import unprivileged_account
from infra.processes.ports import Ports
from sinks.main.main_store import Records
from sinks.store_errors import SessionsNotKept, StoreUnavailable
from sinks.vector.vector_store import Vectors
from tests.conftest import reachable_directory
from tests.contract.builders import MODEL, a_result
from tests.stored_records import commit_results

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


@asynccontextmanager
async def pooler(database, mode, **options):
    """The same database behind PgBouncer."""
    with reachable_directory() as path, Ports() as ports:
        port, password = ports.take(), database.password.get_secret_value()
        (path / "users.txt").write_text(f'"{database.user}" "{password}"\n')
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
            "auth_type": "plain", "auth_file": path / "users.txt", "pool_mode": mode,
            "max_client_conn": 100, "default_pool_size": 20,
        } | options  # fmt: skip
        lines = [f"{name} = {value}" for name, value in settings.items()]
        upstream = f"* = host={database.host} port={database.port} password={password}"
        file = path / "pgbouncer.ini"
        file.write_text("\n".join(["[databases]", upstream, "[pgbouncer]", *lines, ""]))
        account = unprivileged_account()
        process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
            [PGBOUNCER, "-q", file],
            stdout=subprocess.DEVNULL,
            stderr=(path / "log").open("wb"),
            user=account.uid if account else None,
        )
        try:
            async with asyncio.timeout(10):
                while not await _listens(port):  # noqa: ASYNC110 - a server has no event to wait for
                    await asyncio.sleep(0.02)
            yield database.model_copy(update={"host": "127.0.0.1", "port": port})
        finally:
            process.kill()
            process.wait()


async def _listens(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_field_05_session_pooling_is_supported(prepared):
    async with pooler(prepared.main_db, "session") as behind, Records(behind) as records:
        results = [a_result() for _ in range(8)]
        committed = await asyncio.gather(*(commit_results(records, [one]) for one in results))
        assert committed == [{one.key} for one in results]
        key = (uuid4(), MODEL)
        async with records.claim([key]):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), records.claim([key]):
                    pass
    async with pooler(prepared.vector_db, "session") as behind, Vectors(behind) as vectors:
        assert await vectors.models() is not None


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("transaction", {}),
        ("transaction", {"default_pool_size": 1}),
        ("transaction", {"server_round_robin": 1, "min_pool_size": 5}),
        ("statement", {}),
    ],
    ids=["transaction", "one_session", "round_robin", "statement"],
)
async def test_field_05_other_pool_modes_are_refused_with_the_reason(prepared, mode, options):
    impatient = prepared.main_db.model_copy(update={"connect_timeout": 1.0})
    async with pooler(impatient, mode, **options) as behind:
        with pytest.raises(SessionsNotKept, match="only session pooling is supported"):
            await Records(behind).connect()


async def test_field_05_a_pool_that_connects_when_first_used_says_the_reason_too(prepared):
    """Within the time that all of it may take: the API's pools are such."""
    async with (
        pooler(prepared.main_db, "transaction") as behind,
        Records(behind.model_copy(update={"pool_min": 0})) as records,
    ):
        with pytest.raises(SessionsNotKept, match="only session pooling is supported"):
            await records.user(uuid4())


@pytest.mark.parametrize(("clients", "pause"), [(1, 0.001), (6, 0)], ids=["one", "six"])
async def test_field_05_a_busy_transaction_pooler_is_refused_too(prepared, clients, pause):
    """Other clients use its sessions, so that a client gets now the same one and now another."""
    impatient = prepared.main_db.model_copy(update={"connect_timeout": 0.5})
    async with pooler(impatient, "transaction") as behind, asyncio.TaskGroup() as group:

        async def keep_busy():
            connection = await asyncpg.connect(behind.dsn)
            while True:
                await connection.execute("SELECT pg_sleep(0.001)")
                await asyncio.sleep(pause)

        others = [group.create_task(keep_busy()) for _ in range(clients)]
        for _ in range(6):
            with pytest.raises(SessionsNotKept):
                await Records(behind).connect()
        for one in others:
            assert not one.done()
            one.cancel()


async def test_field_05_a_pooler_that_has_no_server_is_an_outage(prepared):
    nowhere = prepared.main_db.model_copy(update={"port": 1})
    async with pooler(nowhere, "session", query_wait_timeout=1) as behind:
        with pytest.raises(StoreUnavailable) as caught:
            await Records(behind.model_copy(update={"connect_timeout": 3.0})).connect()
        assert not isinstance(caught.value, SessionsNotKept)
