"""How things are served: the console's files, HEAD, and what the command says when it starts."""

import asyncio
import os
import re
import signal
import sys
from uuid import uuid4

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.demo.gateway import Gateway
from infra.processes.ports import Ports
from tests.end_to_end.api.conftest import MATCHES, USERS, assert_problem, bearer, new_key


async def test_head_is_get_without_a_body(gateway, prepared):
    headers = bearer(await new_key(prepared, "read"))
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        for path in ("/", "/health/live", USERS, "/console/js/main.js", "/openapi.json"):
            got = await client.get(path, headers=headers)
            head = await client.head(path, headers=headers)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == got.headers["content-type"]
        assert_without_body(await client.head(USERS), 401)
        assert_without_body(await client.head(f"{USERS}/{uuid4()}", headers=headers), 404)
        stream = await client.head(f"{MATCHES}/stream", headers=headers)
        assert_without_body(stream, 405)
        assert stream.headers["allow"] == "GET"
        counted = (await client.get("/metrics")).text
    assert 'method="HEAD",route="/api/v1/users",status="200"' in counted


def assert_without_body(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accepted", "path", "compressed"),
    [
        ("gzip", "/metrics", True),
        ("br, gzip", "/console/js/main.js", True),
        ("gzip", "/health/live", False),  # small
        ("identity", "/metrics", False),
    ],
)
async def test_large_responses_are_compressed_for_those_who_can_read_them(
    gateway, accepted, path, compressed
):
    async with (
        httpx.AsyncClient(base_url=gateway.address) as client,
        client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer,
    ):
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert raw.startswith(b"\x1f\x8b") is compressed
    assert "Accept-Encoding" in answer.headers.get("vary", "") or not compressed


async def test_streams_are_not_compressed(gateway, prepared):
    headers = bearer(await new_key(prepared, "read")) | {"Accept-Encoding": "gzip"}
    async with (
        httpx.AsyncClient(base_url=gateway.address) as client,
        client.stream("GET", f"{MATCHES}/stream", headers=headers) as answer,
    ):
        first = await anext(answer.aiter_raw())
    assert first.startswith(b"retry: ")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/console/js/main.js", "/console/css/base.css"])
async def test_browsers_keep_the_console_and_ask_whether_it_has_changed(gateway, path):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        first = await client.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "no-cache"
        assert again.headers["x-request-id"]
        changed = await client.get(path, headers={"if-none-match": '"another"'})
        assert changed.content == first.content


@pytest.mark.parametrize(
    "path", ["/console/", "/console/%00", "/console/..%2Fapp.py", "/console/x"]
)
async def test_the_console_has_no_other_files(gateway, path):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert_problem(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("host", "words", "reached"),
    [
        ("127.0.0.1", "API keys are not required", ["127.0.0.1"]),
        ("localhost", "API keys are not required", ["127.0.0.1"]),
        ("0.0.0.0", "warning: API keys are not required", ["127.0.0.1"]),  # noqa: S104
        ("::", "warning: API keys are not required", ["127.0.0.1", "[::1]"]),
    ],
)
async def test_field_21_the_command_serves_what_it_says_and_warns_of_open_doors(
    environment, host, words, reached
):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli.main", "api", "--host", host, "--port", "0"),
        env={**os.environ, **environment, "FECAPASS_API__AUTH": "false"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            told = [(await process.stderr.readline()).decode() for _ in range(2)]
            port = int(re.fullmatch(r".* on http://localhost:(\d+)\n", told[0])[1])
            assert told[1].startswith(words)
            assert ("has full access" in told[1]) is (host in {"0.0.0.0", "::"})  # noqa: S104
            async with httpx.AsyncClient() as client:
                for address in ["localhost", *reached]:
                    url = f"http://{address}:{port}/health/live"
                    while not await is_up(client, url):  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_up(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False


async def test_field_00_another_server_on_the_usual_port_is_not_taken_for_ours(
    environment, tmp_path
):
    """It answers everything by 200."""

    async def welcome(_request):
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", welcome)])
    with Ports() as ports:
        port = ports.take()
        async with TestServer(app, port=port):
            process = Gateway(environment, tmp_path, usual=port)
            try:
                await process.ready(60)
                assert process.moved
                async with httpx.AsyncClient(base_url=process.address) as client:
                    live = (await client.get("/health/live")).json()
                    assert live["instance"] == (await client.get("/health")).json()["instance"]
            finally:
                await process.stop(20)
    assert process.returncode == 0
    assert not (tmp_path / "api.address").exists()
