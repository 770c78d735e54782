"""The environment's HTTP proxy is used only where a setting or an option asks for it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from uuid import uuid4

import httpx
import pytest

from infra.demo.gateway import Gateway
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import until
from tests.end_to_end.conftest import running_workers
from tests.end_to_end.delivery import bench
from tests.http_proxy import running_proxy


async def fecapass(environment, *arguments):
    """What the command prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.cli.main",
        *arguments,
        env={**os.environ, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.fixture
async def own(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as made:
        yield made


async def test_field_06_nothing_goes_to_the_environments_proxy(own, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photos.astronaut())
    async with running_proxy() as proxy:
        environment = {
            **own.environment,
            **proxy.variables(),
            "FECAPASS_API__ANSWER_TIMEOUT": "60",
        }
        found = json.loads(await fecapass(environment, "doctor", "--json"))
        async with running_workers(["detect", "identify"], environment, tmp_path):
            enrolled = await fecapass(
                environment,
                "enrol", "--user", f"{uuid4().hex}@example.com", "--json",
                str(tmp_path / "photo.jpg"),
            )  # fmt: skip
            camera = f"door-{uuid4().hex}"
            await fecapass(
                environment,
                "publish", str(tmp_path / "photo.jpg"), "--camera", camera, "--claim-check",
            )  # fmt: skip
            gateway = Gateway(environment, tmp_path / "api")
            try:
                await gateway.ready(60)
                crop = await seen_at(gateway.address, camera)
            finally:
                await gateway.stop(20)
    (row,) = json.loads(enrolled)
    assert row["status"] == "enrolled"
    assert crop[:2] == b"\xff\xd8"
    (proxies,) = (one["detail"] for one in found if one["part"] == "proxies")
    assert proxies.startswith("S3 direct; not used: ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, all_proxy")
    assert proxy.asked == []


async def seen_at(address, camera):
    """The crop of the first face at a camera, by the address that the API signs for it."""
    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as api:

        async def matches():
            answer = await api.get("/api/v1/matches", params={"camera_id": camera})
            assert answer.status_code == 200, answer.text
            return answer.json()["items"]

        (match,) = await until(matches)
        answer = await api.get(match["crop_url"], follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.content
