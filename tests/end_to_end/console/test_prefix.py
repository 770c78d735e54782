"""Below a path of a reverse proxy: a real nginx that takes the path away, or leaves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import trustme
from playwright.async_api import expect

from infra.demo.gateway import Gateway
from infra.processes.ports import Ports
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import FACES, SEARCH, USERS, bearer, new_key
from tests.end_to_end.nginx import running_nginx

_HEADERS = """
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Prefix /face-id;
"""

#: What the three servers have in common; in the first two, only the slash at the end differs.
_SERVERS = """
  server {{
    listen 127.0.0.1:{stripped};
    location /face-id/ {{ proxy_pass {api}/; {headers} }}
  }}
  server {{
    listen 127.0.0.1:{kept};
    location /face-id {{ proxy_pass {api}; {headers} }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location /face-id/ {{ proxy_pass {api}/; {headers} }}
  }}
"""


@pytest_asyncio.fixture(scope="module")
async def served(workers, environment, tmp_path_factory) -> AsyncIterator[Gateway]:
    """An API that trusts the proxies of this machine."""
    process = Gateway(
        environment
        | {
            "FECAPASS_API__AUTH": "true",
            "FECAPASS_API__ANSWER_TIMEOUT": "90",
            "FECAPASS_API__TRUSTED_PROXIES": '["127.0.0.1", "::1"]',
        },
        tmp_path_factory.mktemp("prefixed"),
        usual=0,
    )
    try:
        yield await process.ready()
    finally:
        await process.stop(20)


@pytest.fixture(scope="module")
def proxy(served, tmp_path_factory):
    """Where the service is found, by the way in which nginx passes requests on."""
    directory = tmp_path_factory.mktemp("nginx")
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    with Ports() as reserved:
        ports = {name: reserved.take() for name in ("stripped", "kept", "tls")}
        servers = _SERVERS.format(
            api=served.address, headers=_HEADERS, certificate=certificate, key=key, **ports
        )
        with running_nginx(directory / "run", servers, list(ports.values())):
            yield SimpleNamespace(
                stripped=f"http://127.0.0.1:{ports['stripped']}",
                kept=f"http://127.0.0.1:{ports['kept']}",
                tls=f"https://127.0.0.1:{ports['tls']}",
            )


@pytest_asyncio.fixture(scope="module")
async def admin(served, prepared) -> str:
    return await new_key(prepared, "admin")


def caller(address, key, **options):
    return httpx.AsyncClient(
        base_url=f"{address}/face-id",
        headers=bearer(key),
        timeout=120,
        verify=False,  # noqa: S501 - the certificate is this test's own
        **options,
    )


@pytest.mark.parametrize("way", ["stripped", "kept", "tls"])
async def test_field_26_addresses_that_the_api_gives_lead_through_the_proxy(proxy, admin, way):
    address = getattr(proxy, way)
    async with caller(address, admin) as client:
        made = await client.post(USERS, json={"email": f"{uuid4().hex}@example.com"})
        assert made.status_code == 201
        assert made.headers["location"] == f"/face-id{USERS}/{made.json()['id']}"
        user = made.json()["id"]
        try:
            files = {"photos": ("a.png", photos.astronaut())}
            enrolled = await client.post(FACES, data={"user_id": user}, files=files)
            assert enrolled.status_code == 201, enrolled.text
            (upload,) = enrolled.json()["uploads"]
            given = [
                enrolled.headers["location"],
                upload["face"]["crop_url"],
                upload["status_url"],
                (await client.get(f"{USERS}/{user}/faces")).json()["items"][0]["crop_url"],
            ]
            later = await client.post(
                SEARCH,
                files={"photo": ("b.png", photos.astronaut())},
                headers={"Prefer": "respond-async"},
            )
            assert later.status_code == 202
            given += [later.headers["location"], later.json()["status_url"]]
            for one in given:
                assert one.startswith("/face-id/api/v1/"), one
                assert (await client.get(f"{address}{one}")).status_code == 200, one
        finally:
            await client.delete(f"{USERS}/{user}")
        document = (await client.get("/openapi.json")).json()
        assert document["servers"] == [{"url": f"{address}/face-id"}]
        page = await client.get(f"{address}/face-id", follow_redirects=True)
        assert page.status_code == 200
        assert str(page.url) == f"{address}/face-id/"


@pytest.mark.parametrize("way", ["stripped", "kept"])
async def test_field_26_the_console_works_below_a_path(proxy, admin, way, open_page):
    address = getattr(proxy, way)
    page = await open_page(f"{address}/face-id/#/people")
    failed = []
    page.on("response", lambda answer: answer.status == 404 and failed.append(answer.url))
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Key").fill(admin)
    await dialog.get_by_role("button").last.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("People")
    await page.get_by_role("link", name="Live", exact=True).click()
    await expect(page.locator(".state")).to_have_text("Live")
    await expect(page.locator("#health")).to_have_attribute("data-status", "ok")
    assert failed == []


async def test_field_26_matches_of_the_stream_lead_through_the_proxy(
    proxy, admin, producer, topics
):
    camera = f"prefix-{uuid4().hex[:6]}"
    async with (
        caller(proxy.stripped, admin) as client,
        client.stream("GET", "/api/v1/matches/stream", params={"camera_id": camera}) as answer,
    ):
        sent = False
        async for line in answer.aiter_lines():
            if not sent:
                await send_frames(producer, topics, camera, [photos.astronaut()])
                sent = True
            if line.startswith("data:"):
                assert '"crop_url":"/face-id/api/v1/faces/' in line
                break


async def test_field_26_the_console_finds_its_way_though_the_api_knows_of_no_prefix(
    gateway, open_page, key, tmp_path
):
    """Its proxy is not trusted: what it says in headers does not count."""
    reserved = Ports()
    port = reserved.take()
    servers = f"""
      server {{
        listen 127.0.0.1:{port};
        location /face-id/ {{ proxy_pass {gateway.address}/; {_HEADERS} }}
      }}
    """
    with reserved, ExitStack() as stack:
        nginx = running_nginx(tmp_path / "run", servers, [port])
        await asyncio.to_thread(stack.enter_context, nginx)
        page = await open_page(f"http://127.0.0.1:{port}/face-id/")
        await page.get_by_role("dialog").get_by_label("Key").fill(key)
        await page.get_by_role("dialog").get_by_role("button").last.click()
        await expect(page.locator(".state")).to_have_text("Live")
        async with caller(f"http://127.0.0.1:{port}", key) as client:
            made = await client.post(USERS, json={"email": f"{uuid4().hex}@example.com"})
            assert made.headers["location"] == f"{USERS}/{made.json()['id']}"
            await client.delete(f"{USERS}/{made.json()['id']}")
