"""How things are served: the console's files, HEAD, and what the command says when it starts."""

import asyncio
import signal
import socket
import sys
from uuid import uuid4

import httpx
import pytest

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
    ("host", "words"),
    [("127.0.0.1", "no API keys are asked for"), ("0.0.0.0", "warning: no API keys")],  # noqa: S104
)
async def test_the_command_warns_who_opens_the_doors_to_everybody(environment, host, words):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli.main", "api", "--host", host, "--port", str(port)),
        env={**environment, "FECAPASS_API__AUTH": "false", "PATH": "", "PYTHONPATH": "."},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            told = [(await process.stderr.readline()).decode() for _ in range(2)]
            assert f"http://localhost:{port}" in told[0]
            assert told[1].startswith(words)
            assert ("whoever reaches" in told[1]) is (host == "0.0.0.0")  # noqa: S104
            async with httpx.AsyncClient() as client:
                while not await is_up(client, port):  # noqa: ASYNC110 - a process has no event
                    await asyncio.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_up(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health/live")).is_success
    except httpx.TransportError:
        return False
