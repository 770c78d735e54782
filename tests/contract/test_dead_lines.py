"""A dead network connection costs one timeout, and later calls do not wait again."""

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from uuid import uuid4

import pytest

from sinks.main.main_maintenance import MainMaintenance
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.store_errors import StoreUnavailable
from tests.chaos.proxy import Proxy
from tests.contract.builders import MODEL
from tests.stored_records import settled_rows


@asynccontextmanager
async def line_to(port):
    proxy = Proxy(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def test_field_27_s3_is_called_over_new_connections_after_one_timeout(prepared):
    port = int(prepared.s3.endpoint_url.rpartition(":")[2])
    async with line_to(port) as proxy:
        settings = prepared.s3.model_copy(
            update={"endpoint_url": f"http://127.0.0.1:{proxy.port}", "read_timeout": 1.0}
        )
        async with Crops(settings) as crops:
            items = [(f"crops/{uuid4().hex}.jpg", b"face") for _ in range(12)]
            await crops.put_many(items)
            await asyncio.gather(*(crops.get(key) for key, _ in items))
            proxy.blackhole()
            proxy.restore()
            began = monotonic()
            # Each attempt uses one connection; a dead one costs a second.
            for key, data in items:
                await crops.put(key, data)
            for key, _ in items:
                assert await crops.get(key) == b"face"
    assert monotonic() - began < 6


async def test_field_27_a_body_that_stops_is_an_outage_of_one_timeout(prepared):
    bodies = [b"half", b"whole body"]

    async def answer(reader, writer):
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + bodies.pop(0))

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = prepared.s3.model_copy(
            update={"endpoint_url": f"http://127.0.0.1:{port}", "read_timeout": 0.5}
        )
        async with Crops(settings) as crops:
            with pytest.raises(StoreUnavailable, match="Timeout"):
                await asyncio.wait_for(crops.get("a"), 5)
            assert await asyncio.wait_for(crops.get("a"), 5) == b"whole body"


async def test_field_27_a_claim_that_waits_for_another_store_is_not_ended(prepared):
    key = (uuid4(), MODEL)
    settings = prepared.main_db.model_copy(update={"idle_transaction_timeout": 0.5})
    async with Records(settings) as records, records.claim([key]) as claim:
        await asyncio.sleep(1.5)  # S3 is slow
        assert await claim.forget_crops([uuid4()]) == []
    maintenance = MainMaintenance(settings)
    async with maintenance, maintenance.no_claim_is_open(5) as alone:
        assert alone
        await asyncio.sleep(1.5)


async def test_field_27_a_wait_for_another_claim_ends_and_keeps_the_connections(prepared, records):
    key = (uuid4(), MODEL)
    settings = prepared.main_db.model_copy(update={"command_timeout": 1.0, "pool_max": 2})
    async with Records(settings) as other, records.claim([key]):
        before = await backend(other)
        with pytest.raises(StoreUnavailable, match="55P03"):
            async with other.claim([key]):
                pytest.fail("another worker holds the claim")
        assert await backend(other) == before


async def backend(records):
    async with records._connection("test") as connection:
        return await connection.fetchval("SELECT pg_backend_pid()")


async def test_field_27_a_pool_of_dead_connections_closes_at_once(prepared):
    async with line_to(prepared.main_db.port) as proxy:
        settings = prepared.main_db.model_copy(update={"port": proxy.port, "pool_min": 2})
        records = Records(settings)
        await records.connect()
        await settled_rows(records, [(uuid4(), MODEL)])
        proxy.blackhole()
        hanging = asyncio.create_task(settled_rows(records, [(uuid4(), MODEL)]))
        await asyncio.sleep(0.1)
        began = monotonic()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        await records.close()
    assert monotonic() - began < 6
