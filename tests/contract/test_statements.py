"""An error between two statements is not a failure of the database."""

import asyncio
from uuid import uuid4

import pytest

from sinks.main.main_store import Records
from sinks.postgres.driver_errors import Damage
from sinks.store_errors import SessionsNotKept, StoreRejected, StoreUnavailable
from tests.contract.builders import MODEL, a_result
from tests.stored_records import settled_rows


def a_key():
    return (uuid4(), MODEL)


async def processes(records, number):
    """The server processes of a pool with this number of connections."""
    together = asyncio.Barrier(number)

    async def one():
        async with records._connection("test") as connection:
            process = await connection.fetchval("SELECT pg_backend_pid()")
            await together.wait()
            return process

    return set(await asyncio.gather(*(one() for _ in range(number))))


@pytest.mark.parametrize(
    "error",
    [
        OverflowError("ours"),
        UnicodeEncodeError("utf-8", "ours", 0, 1, "no"),
        TimeoutError("ours"),
        ConnectionResetError("ours"),
        ValueError("ours"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_field_12_an_error_of_the_caller_is_not_changed(prepared, error):
    async with Records(prepared.main_db.model_copy(update={"pool_max": 3})) as records:
        before = await processes(records, 3)
        result = a_result()

        async def commit_and_fail():
            async with records.claim([result.key]) as claim:
                await claim.commit([result])
                raise error

        with pytest.raises(type(error)) as caught:
            await commit_and_fail()
        assert caught.value is error
        # The transaction is rolled back, and no connection is closed.
        assert await settled_rows(records, [result.key]) == {}
        assert await processes(records, 3) == before


async def test_field_12_a_timeout_around_a_claim_ends_only_the_claim(prepared):
    """A caller with its own time limit raises `TimeoutError` between two statements."""
    async with Records(prepared.main_db.model_copy(update={"pool_max": 3})) as records:
        before = await processes(records, 3)
        key = a_key()

        async def claim_and_wait():
            async with records.claim([key]), asyncio.timeout(0.01):
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await claim_and_wait()
        async with asyncio.timeout(5), records.claim([key]) as claim:
            assert claim.existing == {}
        assert await processes(records, 3) == before


async def test_field_12_a_statement_cancelled_by_its_caller_releases_its_locks(prepared):
    async with Records(prepared.main_db) as records:
        key = a_key()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), records.claim([key]), records.claim([key]):
                pass  # the second waits for the first
        async with asyncio.timeout(5), records.claim([key]) as claim:
            assert claim.existing == {}


async def test_field_12_a_failed_statement_raises_a_typed_error_and_is_rolled_back(records):
    with pytest.raises(StoreRejected) as caught:
        async with records._connection("test") as connection, connection.transaction():
            await connection.execute("SELECT $1::integer", 2**40)
    assert caught.value.state == "22000"
    with pytest.raises(StoreUnavailable) as missing:
        async with records._connection("test") as connection:
            await connection.execute("SELECT FROM no_such_table")
    assert missing.value.state == "42P01"


async def test_field_12_a_failed_commit_rolls_the_whole_claim_back(records):
    first, second = a_result(), a_result()

    async def commit_both():
        async with records.claim([first.key, second.key]) as claim:
            await claim.commit([first])
            await claim.commit([a_result(second.event, score=float("nan"))])

    with pytest.raises(StoreRejected):
        await commit_both()
    assert await settled_rows(records, [first.key, second.key]) == {}
    async with asyncio.timeout(5), records.claim([first.key, second.key]) as claim:
        await claim.commit([first, second])
    assert set(await settled_rows(records, [first.key, second.key])) == {first.key, second.key}


async def test_field_05_a_connection_that_the_server_ended_is_not_used_again(prepared):
    async with Records(prepared.main_db.model_copy(update={"pool_max": 2})) as records:
        async with records._connection("test") as connection:
            ended = await connection.fetchval("SELECT pg_backend_pid()")
            with pytest.raises(StoreUnavailable):
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            assert connection.damage is Damage.POOL
        assert ended not in await processes(records, 2)


async def test_field_05_only_the_session_that_a_pooler_replaced_is_ended(prepared):
    """A pooler has given the connection another session, without our prepared statements."""
    async with Records(prepared.main_db.model_copy(update={"pool_max": 2})) as records:
        before = await processes(records, 2)
        ask = "SELECT pg_backend_pid()"
        async with records._connection("test") as connection:
            ended = await connection.fetchval(ask)
            await connection.execute("DEALLOCATE ALL")
            with pytest.raises(SessionsNotKept, match="only session pooling is supported"):
                await connection.fetchval(ask)
        after = await processes(records, 2)
        assert ended not in after
        assert after & before == before - {ended}
