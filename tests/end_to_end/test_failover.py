"""A database that only reads for a while: the worker says so, and goes on by itself."""

import asyncio
import json
from contextlib import asynccontextmanager
from time import monotonic
from uuid import uuid4

import aiohttp
import asyncpg
import redis.asyncio

from domain.events import EventKind, ImageEvent, utc_now
from streams.contract.envelope import encode_headers
from tests.end_to_end import photos
from tests.stored_records import settled_rows, stored_user

MODEL = "sface-2021dec"


@asynccontextmanager
async def read_only(database):
    """Every connection to the database is ended, and new ones can only read."""
    admin = await asyncpg.connect(database.dsn, database="postgres")
    name = database.name
    await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND pid <> pg_backend_pid()", name,
    )  # fmt: skip
    try:
        yield
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await admin.close()


async def until(condition, seconds):
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(0.1)
    return found


async def test_field_05_a_frame_is_done_soon_after_the_database_can_be_written_again(
    prepared, workers, producer, topics, records
):
    identify = workers[1]

    async def health():
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{identify.address}/health") as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def says_so():
        status, body = await health()
        retries = body["checks"]["retries"]
        return status == 503 and retries["status"] == "failed" and retries["detail"]

    async with read_only(prepared.main_db):
        event = ImageEvent(
            kind=EventKind.FRAME, source="camera/failover", id=uuid4().hex, key="failover",
            captured_at=utc_now(),
        )  # fmt: skip
        await producer.send_and_wait(
            topics.frames,
            photos.astronaut(),
            key=b"failover",
            headers=encode_headers(event, "image/png"),
        )
        detail = await until(says_so, 60)
        assert "read-only" in detail, json.dumps(await health())
    writable = monotonic()

    async def is_done():
        return await settled_rows(records, [(event.uuid, MODEL)])

    await until(is_done, 60)
    assert monotonic() - writable < 60

    async def is_well():
        return (await health())[0] == 200

    await until(is_well, 30)


async def test_field_05_answers_come_from_the_ledger_while_redis_is_a_replica(
    client, records, prepared, tmp_path
):
    photo = tmp_path / "somebody.png"
    photo.write_bytes(photos.astronaut())
    user = await stored_user(records, f"{uuid4().hex}@example.org")
    settings = prepared.redis
    password = settings.password.get_secret_value() if settings.password else None
    server = redis.asyncio.Redis(host=settings.host, port=settings.port, password=password)
    await server.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        began = monotonic()
        (answer,) = await client.enrol(user, [photo])
        assert answer.answer.status == "enrolled"
        assert monotonic() - began < 0.5 * prepared.api.answer_timeout
    finally:
        await server.execute_command("REPLICAOF", "NO", "ONE")
        await server.aclose()
