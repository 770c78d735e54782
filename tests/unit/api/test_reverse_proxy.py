"""A path prefix, whether a proxy removes it or not, and proxy headers from trusted peers only."""

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient
from pydantic import ValidationError

from api.http.request_context import address, origin
from api.http.reverse_proxy import Forwarding
from config.settings import ApiSettings

PEER = "10.1.2.3"
FORWARDED = {
    "X-Forwarded-Prefix": "/face-id",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "intra.example.com",
}


def probe() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}")
    async def anything(request: Request, path: str) -> dict[str, object]:
        return {
            "path": f"/{path}",
            "address": address("/x"),
            "origin": origin.get(),
            "scheme": request.url.scheme,
            "host": request.headers["host"],
        }

    return app


async def seen(path="/api/v1/users", headers=None, peer=PEER, **settings):
    api = ApiSettings(**settings)
    app = Forwarding(probe(), root_path=api.root_path, trusted=api.trusted_proxies)
    transport = ASGITransport(app, client=(peer, 4711))
    async with AsyncClient(transport=transport, base_url="http://here") as client:
        return (await client.get(path, headers=headers)).json()


@pytest.mark.parametrize("path", ["/api/v1/users", "/face/api/v1/users"])
async def test_field_26_the_setting_holds_whether_the_proxy_takes_the_prefix_away_or_not(path):
    told = await seen(path, root_path="/face")
    assert told["path"] == "/api/v1/users"
    assert told["address"] == "/face/x"


@pytest.mark.parametrize("path", ["/api/v1/users", "/face-id/api/v1/users"])
@pytest.mark.parametrize("trusted", [["10.1.2.3"], ["10.0.0.0/8"], ["::1", "10.1.0.0/16"]])
async def test_field_26_a_trusted_proxy_names_prefix_scheme_and_host(path, trusted):
    told = await seen(path, FORWARDED, trusted_proxies=trusted)
    assert told == {
        "path": "/api/v1/users",
        "address": "/face-id/x",
        "origin": "https://intra.example.com",
        "scheme": "https",
        "host": "here",  # who may call is decided by what came
    }


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", "not an address"])
async def test_field_26_what_others_say_in_these_headers_is_ignored(peer):
    told = await seen(headers=FORWARDED, peer=peer, trusted_proxies=["10.0.0.0/8"])
    assert (told["address"], told["origin"]) == ("/x", "")
    assert (told["scheme"], told["host"]) == ("http", "here")
    assert (await seen(headers=FORWARDED, peer=PEER))["address"] == "/x"  # by default nobody's


async def test_field_26_a_peer_by_its_mapped_address_is_the_same_peer():
    told = await seen(headers=FORWARDED, peer="::ffff:10.1.2.3", trusted_proxies=["10.0.0.0/8"])
    assert told["address"] == "/face-id/x"


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "/face\r\nSet-Cookie: a=b",
        "/face\tx",
        "https://evil.example",
        "face",
        "/../x",
        "/a/./b",
        "/a//b",
        "/%2e%2e",
        "/a?b",
        "/a#b",
        "/a\\b",
        '/a"b',
        "/<script>",
        "/" + "a" * 300,
        "/ä",
        "/a, /b",
        "/api",
        "/api/v1",
        "/console",
        "/health/x",
    ],
)
async def test_field_26_a_hostile_prefix_is_ignored_even_from_a_trusted_proxy(prefix):
    told = await seen(
        headers={"X-Forwarded-Prefix": prefix.encode("latin-1")}, trusted_proxies=[PEER]
    )
    assert told["address"] == "/x"
    told = await seen(
        headers={"X-Forwarded-Prefix": prefix.encode("latin-1")},
        trusted_proxies=[PEER],
        root_path="/own",
    )
    assert told["address"] == "/own/x"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example/path",
        "a b",
        "user@evil",
        "a\r\nX: y",
        "",
        "[::1",
        "-x",
        "a:b",
        "a, b",
        "a:1:2",
    ],
)
async def test_field_26_a_hostile_host_is_ignored(host):
    headers = {"X-Forwarded-Host": host.encode("latin-1")}
    told = await seen(headers=headers, trusted_proxies=[PEER])
    assert (told["host"], told["origin"]) == ("here", "http://here")


@pytest.mark.parametrize("scheme", ["javascript", "https,http", "HTTPS://", "", "ws"])
async def test_field_26_a_hostile_scheme_is_ignored(scheme):
    told = await seen(headers={"X-Forwarded-Proto": scheme}, trusted_proxies=[PEER])
    assert told["scheme"] == "http"


async def test_field_26_headers_that_come_twice_say_nothing():
    twice = [("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b")]
    assert (await seen(headers=twice, trusted_proxies=[PEER]))["address"] == "/x"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/face", "/"),
        ("/face/", "/"),
        ("/facets", "/facets"),
        ("/face/face/x", "/face/x"),
        ("/facex/api", "/facex/api"),
    ],
)
async def test_field_26_only_the_whole_prefix_is_taken_away(path, expected):
    assert (await seen(path, root_path="/face"))["path"] == expected


@pytest.mark.parametrize("path", ["/api/face", "/a.b_c~d-e/f", "/face/"])
def test_field_26_a_prefix_may_be_set(path):
    assert ApiSettings(root_path=path).root_path == path.rstrip("/")


@pytest.mark.parametrize("path", ["face", "/api", "//x", "/a b", "/..", "/console/x", "http://a"])
def test_field_26_a_wrong_prefix_is_refused_at_the_start(path):
    with pytest.raises(ValidationError):
        ApiSettings(root_path=path)
