"""Health with real servers that are stopped and started, one after the other."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from api.http.app import create_app
from config.settings import Settings
from infra.database.init_db import initialise
from infra.embedded.stack import EmbeddedStack, settings_from
from tests.conftest import reachable_directory
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import USERS, assert_problem, new_key

CHECKS = {"main_db", "vector_db", "redis", "kafka", "s3"}


@pytest_asyncio.fixture(scope="module")
async def own_stack() -> AsyncIterator[EmbeddedStack]:
    """Servers of this test's own: the embedded broker forgets everything when it stops."""
    with reachable_directory() as path:
        stack = EmbeddedStack(path)
        await asyncio.to_thread(stack.start)
        try:
            yield stack
        finally:
            await asyncio.to_thread(stack.stop)


@pytest_asyncio.fixture(scope="module")
async def own_settings(own_stack: EmbeddedStack) -> Settings:
    settings = settings_from(own_stack.environment())
    await initialise(settings, [], lambda _line: None)
    return settings


@pytest_asyncio.fixture(scope="module")
async def client(own_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(own_settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1",
            headers={"X-API-Key": await new_key(own_settings, "admin")},
        ) as opened,
    ):
        yield opened


async def report(client: httpx.AsyncClient, path: str = "/health") -> tuple[int, str, set[str]]:
    answer = await client.get(path)
    body = answer.json()
    assert set(body["checks"]) == CHECKS
    assert ("pipeline" in body) is (path == "/health")
    assert all(check["latency_ms"] >= 0 for check in body["checks"].values())
    failed = {name for name, check in body["checks"].items() if check["status"] == "failed"}
    return answer.status_code, body["status"], failed


async def becomes(client: httpx.AsyncClient, expected: tuple[int, str, set[str]]) -> None:
    """Wait for a state of the servers; no worker runs here, so there is always more to tell."""
    last = None
    try:
        async with asyncio.timeout(60):
            while (last := await report(client)) != expected:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"health stays {last}, expected {expected}") from None


async def test_health_turns_and_turns_back_with_each_server(client, own_stack, own_settings):
    fine = (503, "degraded", set())
    await becomes(client, fine)
    for server, failed in (
        ("postgres", {"main_db", "vector_db"}),
        ("redis", {"redis"}),
        ("s3", {"s3"}),
        ("kafka", {"kafka"}),
    ):
        await asyncio.to_thread(own_stack.stop_server, server)
        spared = server == "redis"
        await becomes(client, (503, "degraded" if spared else "unavailable", failed))
        assert (await client.get("/health/live")).status_code == 200
        ready = (await report(client, "/health/ready"))[:2]
        assert ready == ((200, "degraded") if spared else (503, "unavailable"))
        if server == "postgres":
            assert_problem(await client.get(USERS), 503, "store_unavailable")
        await asyncio.to_thread(own_stack.start_server, server)
        if server == "kafka":
            # This broker keeps nothing: it is there, and its topics are not.
            await becomes(client, (503, "unavailable", {"kafka"}))
            await initialise(own_settings, [], lambda _line: None)
        await becomes(client, fine)
        assert await report(client, "/health/ready") == (200, "ok", set())
        assert (await client.get(USERS)).status_code == 200


async def test_health_does_not_reveal_the_servers(client, own_stack, own_settings):
    await asyncio.to_thread(own_stack.stop_server, "redis")
    try:
        await becomes(client, (503, "degraded", {"redis"}))
        text = (await client.get("/health")).text
        assert "Redis is down: no answer" in (await client.get("/health")).json()["problems"]
    finally:
        await asyncio.to_thread(own_stack.start_server, "redis")
    assert str(own_settings.redis.port) not in text
    assert "127.0.0.1" not in text


async def test_an_upload_that_no_broker_takes_is_refused_in_time(client, own_stack, own_settings):
    answer = await client.post(USERS, json={"email": "a@b.example"})
    await asyncio.to_thread(own_stack.stop_server, "kafka")
    try:
        answer = await client.post(
            "/api/v1/faces",
            data={"user_id": answer.json()["id"]},
            files={"photos": ("a.jpg", photos.carphone(1)[0])},
            timeout=30,
        )
        assert_problem(answer, 503, "broker_unavailable")
        assert answer.headers["retry-after"]
    finally:
        await asyncio.to_thread(own_stack.start_server, "kafka")
        await initialise(own_settings, [], lambda _line: None)


async def test_the_process_starts_while_every_server_is_away(own_settings):
    away = own_settings.model_copy(
        update={
            "main_db": own_settings.main_db.model_copy(update={"port": 1}),
            "vector_db": own_settings.vector_db.model_copy(update={"port": 1}),
            "redis": own_settings.redis.model_copy(update={"port": 1}),
            "kafka": own_settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"}),
            "s3": own_settings.s3.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}),
        }
    )
    app = create_app(away)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client,
    ):
        assert await report(client) == (503, "unavailable", CHECKS)
