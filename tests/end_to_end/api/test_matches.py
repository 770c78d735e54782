"""Who was seen where: the listing, the cameras, and the live stream."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from services.api_keys import revoke_key
from sinks.main.database_sessions import Databases
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import (
    MATCHES,
    assert_problem,
    bearer,
    new_key,
    running_app,
    until,
)

STREAM = f"{MATCHES}/stream"


@asynccontextmanager
async def streaming(http, seconds: float = 90.0, headers=None, **params):
    """Events of a stream as (name, id, data), from the moment that it stands."""
    async with (
        asyncio.timeout(seconds),
        http.stream("GET", STREAM, params=params, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer)


async def events_of(answer):
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line.startswith(":"):
            yield ("comment", None, line)
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event.keys() & {"event", "data"}:
            yield (event["event"], event.get("id"), json.loads(event["data"]))
            event = {}


async def matches_from(events, count: int) -> list[tuple[str, dict]]:
    found = []
    async for name, identifier, data in events:
        if name == "match":
            found.append((identifier, data))
        if len(found) == count:
            return found
    raise AssertionError("the stream ended")


@pytest.fixture
def camera() -> str:
    return f"door {uuid4().hex[:6]}"


async def test_matches_arrive_live_with_names_and_are_listed_afterwards(
    http, new_user, enrol, producer, topics, camera
):
    user = await new_user("Live Person")
    assert (await enrol(user, photos.astronaut())).status_code == 201
    async with streaming(http, camera_id=camera) as events:
        async for name, _, text in events:
            assert (name, text) == ("comment", ": listening")
            break
        await send_frames(producer, topics, camera, [photos.astronaut()] * 3)
        live = await matches_from(events, 3)
    for identifier, match in live:
        assert identifier == match["face_id"]
        assert match["camera_id"] == camera
        if match["user_id"] is not None:
            assert match["user"]["id"] == match["user_id"]
            assert match["user"]["full_name"]

    listed = (await http.get(MATCHES, params={"camera_id": camera})).json()["items"]
    assert {one["face_id"] for one in listed} == {identifier for identifier, _ in live}
    assert listed == sorted(listed, key=lambda one: one["captured_at"], reverse=True)
    by_id = {one["face_id"]: one for one in listed}
    for identifier, match in live:
        assert by_id[identifier] == match
    crop = await http.get(listed[0]["crop_url"])
    assert crop.content.startswith(b"\xff\xd8\xff")

    first = await http.get(MATCHES, params={"camera_id": camera, "limit": 2})
    second = await http.get(
        MATCHES, params={"camera_id": camera, "limit": 2, "cursor": first.json()["next_cursor"]}
    )
    assert first.json()["items"] + second.json()["items"] == listed
    assert second.json()["next_cursor"] is None

    middle = listed[1]["captured_at"]
    since = await http.get(MATCHES, params={"camera_id": camera, "since": middle})
    assert since.json()["items"] == listed[:2]
    until_ = await http.get(MATCHES, params={"camera_id": camera, "until": middle})
    assert until_.json()["items"] == listed[2:]
    for known in (True, False):
        page = (await http.get(MATCHES, params={"camera_id": camera, "known": known})).json()
        assert page["items"] == [one for one in listed if (one["user_id"] is not None) is known]

    async def has_a_rate():
        cameras = (await http.get("/api/v1/cameras")).json()["items"]
        return next((one for one in cameras if one["camera_id"] == camera), None)

    found = await until(has_a_rate)
    assert found["last_frame_at"] >= listed[0]["captured_at"]
    assert 0.0 <= found["frames_per_second"] <= 0.3


async def test_who_comes_back_gets_what_was_missed(http, producer, topics, camera):
    async with streaming(http, camera_id=camera) as events:
        await anext(events)
        await send_frames(producer, topics, camera, [photos.astronaut()])
        ((last, _),) = await matches_from(events, 1)
    await send_frames(producer, topics, camera, [photos.astronaut()] * 2)

    async def stored():
        page = (await http.get(MATCHES, params={"camera_id": camera})).json()["items"]
        return len(page) == 3

    await until(stored)
    async with streaming(http, headers={"last-event-id": last}, camera_id=camera) as events:
        missed = await matches_from(events, 2)
    assert last not in [identifier for identifier, _ in missed]


@pytest.mark.parametrize("last", ["0b7d2f0e-5c1a-4a63-9d1e-7f3a6c2b8e40", "nonsense"])
async def test_a_client_that_was_disconnected_too_long_is_informed_of_the_gap(http, last):
    async with streaming(http, headers={"last-event-id": last}) as events:
        async for name, _, data in events:
            if name == "gap":
                assert data == {"lost": None}
                return
            assert name == "comment"


async def test_an_idle_stream_says_that_it_is_there(http):
    async with streaming(http, camera_id=f"idle-{uuid4()}") as events:
        seen = [await anext(events) for _ in range(3)]
    assert [text for _, _, text in seen[1:]] == [": nothing yet"] * 2


async def test_a_search_is_not_sent_to_listeners_of_cameras(http, search, camera, producer, topics):
    async with streaming(http) as events:
        await anext(events)
        answer = await search(photos.astronaut())
        probes = {face["face_id"] for face in answer.json()["faces"]}
        await send_frames(producer, topics, camera, [photos.astronaut()])
        async for name, identifier, data in events:
            if name == "match":
                assert identifier not in probes
                if data["camera_id"] == camera:
                    break
    page = (await http.get(MATCHES, params={"camera_id": answer.json()["upload_id"]})).json()
    assert page["items"] == []


async def test_a_stream_needs_the_scope_to_read(gateway, prepared):
    async with httpx.AsyncClient(base_url=gateway.address) as client:
        assert_problem(await client.get(STREAM), 401, "key_missing")
        headers = bearer(await new_key(prepared, "enrol", "search"))
        assert_problem(await client.get(STREAM, headers=headers), 403, "scope_missing")


async def test_a_stream_ends_when_its_key_is_revoked(gateway, prepared):
    key = await new_key(prepared, "read")
    databases = Databases(prepared)
    async with (
        httpx.AsyncClient(base_url=gateway.address, headers=bearer(key), timeout=60) as client,
        streaming(client, camera_id=f"idle-{uuid4()}") as events,
    ):
        await anext(events)
        async with databases.main.begin() as session:
            assert await revoke_key(session, key.split("_")[1], "test")
        assert all([name == "comment" async for name, _, _ in events])
    await databases.close()


async def test_there_are_only_so_many_places(prepared):
    key = await new_key(prepared, "read")
    async with running_app(prepared, stream_clients=0) as client:
        answer = await client.get(STREAM, headers=bearer(key))
        assert_problem(answer, 503, "too_many_listeners")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("stream", [STREAM, "/api/v1/visits/stream"])
async def test_a_key_has_only_so_many_places(prepared, stream):
    key = await new_key(prepared, "read")
    async with running_app(prepared, stream_clients_per_key=0) as client:
        answer = await client.get(stream, headers=bearer(key))
        assert_problem(answer, 429, "too_many_streams")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 201},
        {"user_id": "x"},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"since": "1790000000"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"camera_id": "a\u0000b"},
    ],
)
async def test_a_malformed_filter_is_refused(http, params):
    assert_problem(await http.get(MATCHES, params=params), 422, "invalid_request")
