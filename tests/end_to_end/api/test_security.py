"""Keys, scopes, limits, the audit trail, and what a server says of itself."""

import json
import logging
import subprocess
import sys
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.http.app import create_app
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import (
    CORRECTIONS,
    FACES,
    MATCHES,
    PRESENCE,
    SEARCH,
    UNKNOWNS,
    USERS,
    VISITS,
    assert_problem,
    bearer,
    new_key,
    running_app,
    until,
)

ID = "0b7d2f0e-5c1a-4a63-9d1e-7f3a6c2b8e40"  # nobody's, and the same in each worker of the suite
FALLBACKS = "fecapass_http_rate_fallbacks_total"
#: Method, path, and the scopes (in addition to admin) that may call it.
MATRIX = [
    ("GET", USERS, {"read"}),
    ("POST", USERS, {"enrol"}),
    ("GET", f"{USERS}/{ID}", {"read"}),
    ("GET", f"{USERS}/{ID}/faces", {"read"}),
    ("PATCH", f"{USERS}/{ID}", {"enrol"}),
    ("DELETE", f"{USERS}/{ID}", set()),
    ("GET", "/api/v1/people/check", {"read"}),
    ("POST", FACES, {"enrol"}),
    ("GET", f"{FACES}/{ID}", {"read"}),
    ("GET", f"{FACES}/{ID}/crop", {"read"}),
    ("GET", f"{FACES}/{ID}/similar", set()),  # needs two scopes: read and search
    ("DELETE", f"{FACES}/{ID}", {"enrol"}),
    ("POST", SEARCH, {"search"}),
    ("GET", f"/api/v1/uploads/{ID}", {"read", "enrol", "search"}),
    ("GET", MATCHES, {"read"}),
    ("GET", VISITS, {"read"}),
    ("GET", f"{VISITS}/{ID}", {"read"}),
    ("GET", f"{VISITS}/{ID}/snapshot", {"read"}),
    ("GET", PRESENCE, {"read"}),
    ("POST", CORRECTIONS, {"enrol"}),
    ("GET", CORRECTIONS, {"read"}),
    ("GET", f"{CORRECTIONS}/{ID}", {"read"}),
    ("POST", f"{CORRECTIONS}/{ID}/undo", {"enrol"}),
    ("GET", "/api/v1/cameras", {"read"}),
    ("GET", UNKNOWNS, {"read"}),
    ("GET", f"{UNKNOWNS}/{ID}", {"read"}),
    ("GET", f"{UNKNOWNS}/proposals", {"read"}),
    ("POST", f"{UNKNOWNS}/{ID}/join", {"enrol"}),
    ("POST", f"{UNKNOWNS}/{ID}/part", {"enrol"}),
    ("POST", f"{UNKNOWNS}/{ID}/promote", {"enrol"}),
    ("POST", f"{UNKNOWNS}/{ID}/dismiss", {"enrol"}),
    ("GET", "/api/v1/pipeline", {"read"}),
]


@pytest.mark.parametrize(("method", "path", "allowed"), MATRIX)
async def test_each_scope_opens_its_own_doors_and_no_others(
    gateway, prepared, method, path, allowed
):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert_problem(await client.request(method, path), 401, "key_missing")
        for scope in ("read", "enrol", "search", "admin"):
            headers = bearer(await new_key(prepared, scope))
            answer = await client.request(method, path, headers=headers)
            if scope in allowed | {"admin"}:
                assert answer.status_code not in {401, 403}, (scope, answer.text)
            else:
                assert_problem(answer, 403, "scope_missing")


def test_the_matrix_names_every_route(prepared):
    listed = {(method, path.replace(ID, "*")) for method, path, _ in MATRIX}
    served = {
        (method.upper(), path.replace(path[path.index("{") : path.index("}") + 1], "*"))
        if "{" in path
        else (method.upper(), path)
        for path, operations in create_app(prepared).openapi()["paths"].items()
        if path.startswith("/api/")
        for method in operations
    }
    streams = {("GET", f"{path}/stream") for path in (MATCHES, VISITS)}
    assert served - listed == streams  # tested with the streams
    assert listed <= served


@pytest.mark.parametrize(
    "key",
    ["", "x", "fp_", f"fp_{'0' * 12}_{'A' * 43}", "fp_" + "é" * 56, f"fp_{'0' * 12}_{'A' * 10000}"],
)
async def test_a_wrong_key_opens_nothing(gateway, key):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        headers = [(b"x-api-key", key.encode())]
        answer = await client.get(USERS, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_another_keys_secret_opens_nothing(gateway, prepared):
    one, other = [await new_key(prepared, "read") for _ in range(2)]
    mixed = one[:16] + other[16:]
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert (await client.get(USERS, headers=bearer(one))).status_code == 200
        assert_problem(await client.get(USERS, headers=bearer(mixed)), 401, "key_invalid")


def fecapass(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "keys", *arguments],
        env={**environment, "PATH": "", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_keys_are_made_listed_and_revoked_by_command(gateway, environment, prepared):
    made = fecapass(environment, "create", "door 1", "--scope", "read", "--scope", "search")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    public = key.split("_")[1]
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert (await client.get(USERS, headers=bearer(key))).status_code == 200
        listed = fecapass(environment, "list", "--json").stdout
        assert public in listed
        assert "door 1" in listed
        assert key.split("_", 2)[2] not in listed
        assert fecapass(environment, "revoke", public).returncode == 0

        async def refused():
            answer = await client.get(USERS, headers=bearer(key))
            return answer if answer.status_code == 401 else None

        assert_problem(await until(refused, 10.0), 401, "key_invalid")
    again = fecapass(environment, "revoke", public)
    assert again.returncode == 1
    assert public in again.stderr
    assert fecapass(environment, "create", "x", "--scope", "everything").returncode == 2
    for name in (" ", "x" * 101, "a\x1b[2Jb"):
        refused = fecapass(environment, "create", name, "--scope", "read")
        assert refused.returncode == 2, name

    connection = await asyncpg.connect(prepared.main_db.dsn)
    kept = await connection.fetchrow("SELECT * FROM api_keys WHERE id = $1", public)
    actions = await connection.fetch(
        "SELECT action, actor FROM audit WHERE target = $1 ORDER BY id", f"key:{public}"
    )
    await connection.close()
    assert key.split("_", 2)[2] not in str(dict(kept))
    assert [row["action"] for row in actions] == ["key.create", "key.revoke"]
    assert all(row["actor"].startswith("cli") for row in actions)


async def test_every_change_is_in_the_audit_trail_which_cannot_be_changed(
    prepared, gateway, enrol, http
):
    key = await new_key(prepared, "admin")
    actor = f"key:{key.split('_')[1]}"
    async with httpx.AsyncClient(
        base_url=gateway.address, headers=bearer(key), timeout=120
    ) as client:
        made = await client.post(
            USERS, json={"email": f"{uuid4()}@x.example"}, headers={"x-request-id": "audit-test-1"}
        )
        assert made.headers["x-request-id"] == "audit-test-1"
        user = made.json()["id"]
        await client.patch(f"{USERS}/{user}", json={"full_name": "Secret Name"})
        for is_active in (False, True):
            await client.patch(f"{USERS}/{user}", json={"is_active": is_active})
        enrolled = await client.post(
            FACES, data={"user_id": user}, files={"photos": ("a.jpg", photos.astronaut())}
        )
        (upload,) = enrolled.json()["uploads"]
        await client.delete(f"{FACES}/{upload['face']['id']}")
        assert (await client.delete(f"{USERS}/{user}")).status_code == 204

    connection = await asyncpg.connect(prepared.main_db.dsn)
    try:
        rows = await connection.fetch("SELECT * FROM audit WHERE actor = $1 ORDER BY id", actor)
        assert [row["action"] for row in rows] == [
            "user.create",
            "user.update",
            "user.update",
            "user.update",
            "face.enrol",
            "face.delete",
            "user.delete",
        ]
        assert rows[0]["request_id"] == "audit-test-1"
        assert rows[0]["target"] == f"user:{user}"
        assert [json.loads(row["detail"]).get("is_active") for row in rows[1:4]] == [
            None,
            False,
            True,
        ]
        assert upload["upload_id"] in rows[4]["detail"]
        assert "Secret Name" not in str(rows)
        for statement in (
            "UPDATE audit SET actor = 'nobody'",
            "DELETE FROM audit",
            "TRUNCATE audit",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_key_has_so_many_requests_a_minute(prepared):
    busy, idle = [await new_key(prepared, "read") for _ in range(2)]
    async with running_app(prepared, requests_per_minute=3) as client:
        for left in (2, 1, 0):
            answer = await client.get(USERS, headers=bearer(busy))
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"key";q=3;w=60'
            assert answer.headers["ratelimit"] == f'"key";r={left}'
        refused = await client.get(USERS, headers=bearer(busy))
        assert_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["ratelimit"] == '"key";r=0'
        missing = await client.get(USERS)
        assert_problem(missing, 401, "key_missing")
        assert "ratelimit" not in missing.headers
        assert (await client.get(USERS, headers=bearer(idle))).status_code == 200


async def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(prepared):
    away = prepared.redis.model_copy(update={"port": 1})  # where addresses of other tests count
    settings = prepared.model_copy(update={"redis": away})
    right = bearer(await new_key(prepared, "read"))
    async with running_app(settings, wrong_keys_per_minute=3) as client:
        for number in range(5):
            answer = await client.get(USERS, headers=bearer(f"fp_{number:012}_{'A' * 43}"))
            if number < 3:
                assert_problem(answer, 401, "key_invalid")
            else:
                assert_problem(answer, 429, "too_many_requests")
                assert int(answer.headers["retry-after"]) > 0
        assert (await client.get(USERS, headers=right)).status_code == 200


async def test_every_refusal_is_in_the_log_with_the_id_of_its_request(prepared, caplog):
    headers = bearer(await new_key(prepared, "read"))
    async with running_app(prepared) as client:
        with caplog.at_level(logging.INFO, "api.http.problems"):
            answers = [
                await client.get(USERS),
                await client.post(USERS, headers=headers, json={}),
                await client.get(f"{USERS}/{uuid4()}", headers=headers),
                await client.get(f"{USERS}/x", headers=headers),
                await client.get("/nowhere"),
                await client.put(USERS),
                await client.post(USERS, content=b"x" * 100_000),
            ]
    assert [one.status_code for one in answers] == [401, 403, 404, 422, 404, 405, 413]
    for one in answers:
        body = one.json()
        line = f"request {body['request_id']} is refused: {one.status_code} {body['code']}"
        assert caplog.messages.count(line) == 1


async def test_without_redis_each_process_counts_by_itself(prepared):
    busy, idle = [await new_key(prepared, "read") for _ in range(2)]
    away = prepared.redis.model_copy(update={"port": 1})
    settings = prepared.model_copy(update={"redis": away})
    async with running_app(settings, requests_per_minute=3) as client:
        for _ in range(3):
            assert (await client.get(USERS, headers=bearer(busy))).status_code == 200
        refused = await client.get(USERS, headers=bearer(busy))
        assert_problem(refused, 429, "too_many_requests")
        assert (await client.get(USERS, headers=bearer(idle))).status_code == 200
        counted = (await client.get("/metrics")).text
    (line,) = [one for one in counted.splitlines() if one.startswith(f"{FALLBACKS} ")]
    assert float(line.split()[1]) >= 4


async def test_without_keys_pages_from_elsewhere_may_not_call(prepared):
    async with running_app(prepared, auth=False) as client:
        assert (await client.get(USERS)).status_code == 200
        body = {"email": f"{uuid4()}@x.example"}
        own = await client.post(USERS, json=body, headers={"origin": "http://127.0.0.1"})
        assert own.status_code == 201
        for headers in (
            {"origin": "https://elsewhere.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"host": "rebound.example"},
        ):
            answer = await client.post(USERS, json=body, headers=headers)
            assert_problem(answer, 403, "cross_site")
        answer = await client.get(USERS, headers={"host": "rebound.example"})
        assert_problem(answer, 403, "cross_site")


async def test_other_origins_are_let_in_by_setting_only(prepared):
    preflight = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    async with running_app(prepared) as client:
        closed = await client.options(USERS, headers=preflight)
        assert "access-control-allow-origin" not in closed.headers
    async with running_app(prepared, cors_origins=("https://app.example",)) as client:
        opened = await client.options(USERS, headers=preflight)
        assert opened.headers["access-control-allow-origin"] == "https://app.example"
        other = await client.options(USERS, headers=preflight | {"origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"{}", 401, "key_missing"), (b"x" * 100_000, 413, "too_large")],
)
async def test_pages_of_other_origins_can_read_why_they_are_refused(
    prepared, content, status, code
):
    origin = "https://app.example"
    async with running_app(prepared, cors_origins=(origin,)) as client:
        answer = await client.patch(f"{USERS}/{ID}", content=content, headers={"origin": origin})
        assert_problem(answer, status, code)
        assert answer.headers["access-control-allow-origin"] == origin
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]


async def test_our_own_fault_can_be_read_by_other_origins_too(prepared, monkeypatch):
    async def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError

    origin = "https://app.example"
    key = await new_key(prepared, "read")
    monkeypatch.setattr("api.live.user_cache.UserCache.get", broken)
    async with running_app(prepared, cors_origins=(origin,)) as client:
        answer = await client.get(MATCHES, headers={**bearer(key), "origin": origin})
        assert_problem(answer, 500, "internal_error")
        assert answer.headers["access-control-allow-origin"] == origin


async def test_only_where_photos_are_taken_may_a_body_be_large(prepared):
    """Bodies of other requests are read before the key is checked."""
    async with running_app(prepared) as client:
        for path in (USERS, f"{USERS}/{ID}", "/health", "/nowhere"):
            for kind in ("multipart/form-data; boundary=x", "application/json"):
                answer = await client.post(
                    path, content=b"x" * 100_000, headers={"content-type": kind}
                )
                assert_problem(answer, 413, "too_large")


async def test_every_response_has_its_guards(http):
    for path in ("/health/live", USERS, "/nowhere"):
        answer = await http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


async def test_the_framework_refuses_by_problem_documents_too(http):
    assert_problem(await http.get("/api/v1/nowhere"), 404, "not_found")
    refused = await http.put(USERS)
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, POST"
    assert_problem(await http.options(USERS), 405, "method_not_allowed")
    for method in ("GET", "PUT", "DELETE"):
        search = await http.request(method, SEARCH)
        assert_problem(search, 405, "method_not_allowed")
        assert search.headers["allow"] == "POST"
    assert_problem(await http.put("/console/js/main.js"), 405, "method_not_allowed")


@pytest.mark.parametrize("given", ["short", "with space 123", "x" * 65, "a\tb\tc\td\te"])
async def test_a_request_id_that_could_do_harm_is_replaced(http, given):
    answer = await http.get("/health/live", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] not in {given, ""}


async def test_our_own_fault_leaves_no_trace_outside(prepared, monkeypatch):
    async def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the password is swordfish")

    key = await new_key(prepared, "read")
    monkeypatch.setattr("api.live.user_cache.UserCache.get", broken)
    async with running_app(prepared) as client:
        answer = await client.get(MATCHES, headers=bearer(key))
        problem = assert_problem(answer, 500, "internal_error")
    assert "swordfish" not in str(problem)


async def test_requests_are_counted_by_route(http):
    await http.get(f"{USERS}/{uuid4()}")
    await http.request("INVENTED", USERS)
    metrics = (await http.get("/metrics")).text
    assert "INVENTED" not in metrics
    counted = 'fecapass_http_requests_total{method="GET",route="/api/v1/users/{user_id}",'
    assert f'{counted}status="404"}}' in metrics
    assert 'fecapass_http_request_duration_seconds_bucket{le="0.1",route="/api/v1/users' in metrics
