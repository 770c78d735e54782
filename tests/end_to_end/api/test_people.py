"""Deactivation and erasure reach every worker and every store."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
from redis.asyncio import Redis

from sinks.store_errors import StoreRejected
from tests.end_to_end import photos
from tests.end_to_end.api.cameras import send_frames
from tests.end_to_end.api.conftest import (
    FACES,
    MATCHES,
    USERS,
    assert_problem,
    new_key,
    running_app,
    until,
)


async def candidates(search, photo: bytes) -> list[str]:
    answer = await search(photo, limit=10)
    assert answer.status_code == 200, answer.text
    return [one["user"]["id"] for face in answer.json()["faces"] for one in face["candidates"]]


async def test_a_deactivated_user_is_unknown_until_activated_again(
    http, new_user, enrol, search, vectors
):
    user = await new_user()
    body = (await enrol(user, photos.astronaut())).json()
    model = body["uploads"][0]["face"]["model"]
    assert user in await candidates(search, photos.astronaut())

    answer = await http.patch(f"{USERS}/{user}", json={"is_active": False})
    assert answer.json()["is_active"] is False
    # From here on no worker gets the template, and the API does not check any.
    changes = await vectors.changes(model, 0, 100_000)
    assert [one.embedding for one in changes if str(one.user_id) == user] == [None]
    assert user not in await candidates(search, photos.astronaut())
    assert_problem(await enrol(user, photos.astronaut()), 409, "user_inactive")
    again = await http.patch(f"{USERS}/{user}", json={"is_active": False})
    assert again.status_code == 200

    # A photo that was on its way when the person was deactivated changes nothing.
    embedding = np.eye(1, 128, dtype=np.float32)[0]
    await vectors.enrol(uuid4(), UUID(user), model, embedding, datetime.now(UTC))
    changes = await vectors.changes(model, 0, 100_000)
    assert [one.embedding for one in changes if str(one.user_id) == user] == [None]

    answer = await http.patch(f"{USERS}/{user}", json={"is_active": True})
    assert answer.json()["is_active"] is True

    async def found():
        return user in await candidates(search, photos.astronaut())

    await until(found)
    assert (await http.delete(f"{USERS}/{user}")).status_code == 204


async def test_erasure_reaches_every_store(
    http, new_user, enrol, search, prepared, producer, topics, vectors, records, crops
):
    user = await new_user("To be forgotten")
    body = (await enrol(user, photos.astronaut())).json()
    refused = await enrol(user, photos.two_people())
    assert_problem(refused, 422, "several_faces")
    enrolled = body["uploads"][0]["face"]
    assert user in await candidates(search, photos.astronaut())
    camera = f"door-{uuid4().hex[:6]}"
    await send_frames(producer, topics, camera, [photos.astronaut()] * 2)

    async def seen():
        page = (await http.get(MATCHES, params={"camera_id": camera})).json()["items"]
        return page if len(page) == 2 else None

    sightings = await until(seen)
    ours = [one for one in sightings if one["user_id"] == user]
    connection = await asyncpg.connect(prepared.main_db.dsn)
    vector = await asyncpg.connect(prepared.vector_db.dsn)
    redis = Redis.from_url(prepared.redis.url)
    try:
        faces = await connection.fetch(
            "SELECT id, crop_key, event_uuid FROM faces WHERE user_id = $1", UUID(user)
        )
        assert len(faces) == 1 + len(ours)
        # A face that was followed has no crop of its own.
        keys = [row["crop_key"] for row in faces if row["crop_key"] is not None]
        for key in keys:
            assert await crops.exists(key)

        assert (await http.delete(f"{USERS}/{user}")).status_code == 204

        assert_problem(await http.get(f"{USERS}/{user}"), 404, "user_not_found")
        assert_problem(await http.get(f"{FACES}/{enrolled['id']}"), 404, "face_not_found")
        status = await http.get(body["uploads"][0]["status_url"])
        assert_problem(status, 404, "upload_not_found")
        for table in ("users", "faces", "events"):
            rows = await connection.fetch(
                f"SELECT 1 FROM {table} AS row WHERE row::text LIKE '%' || $1 || '%'",  # noqa: S608
                user,
            )
            assert rows == [], table
        embeddings = await vector.fetchval(
            "SELECT count(*) FROM face_embeddings WHERE user_id = $1", UUID(user)
        )
        assert embeddings == 0
        for key in keys:
            with pytest.raises(StoreRejected):
                await crops.get(key)
        if prepared.kafka.claim_check:
            for row in faces:
                assert not await crops.exists(f"uploads/{row['event_uuid']}.png")
        async for key in redis.scan_iter("*"):
            kind = await redis.type(key)
            if kind == b"string":
                content = await redis.get(key)
            elif kind == b"list":
                content = await redis.lrange(key, 0, -1)
            else:
                content = await redis.zrange(key, 0, -1)
            assert user not in str(content), key

        # What cameras saw stays, as unknown.
        page = (await http.get(MATCHES, params={"camera_id": camera})).json()["items"]
        assert len(page) == 2
        assert all(one["user_id"] != user for one in page)
        assert user not in await candidates(search, photos.astronaut())
    finally:
        await connection.close()
        await vector.close()
        await redis.aclose()


async def test_an_erasure_that_fails_half_way_is_done_by_repeating_it(
    prepared, new_user, enrol, http
):
    user = await new_user()
    body = (await enrol(user, photos.carphone(1, first=55)[0])).json()
    key = await new_key(prepared, "admin")
    away = prepared.s3.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})
    async with running_app(prepared.model_copy(update={"s3": away})) as client:
        answer = await client.delete(f"{USERS}/{user}", headers={"X-API-Key": key})
        assert_problem(answer, 503, "store_unavailable")
        assert "127.0.0.1" not in answer.text
    assert (await http.get(f"{USERS}/{user}")).status_code == 200
    assert (await http.delete(f"{USERS}/{user}")).status_code == 204
    face = body["uploads"][0]["face"]["id"]
    assert_problem(await http.get(f"{FACES}/{face}"), 404, "face_not_found")


async def test_a_photo_still_in_flight_does_not_bring_an_erased_person_back(
    http, new_user, enrol, search
):
    user = await new_user()
    pending = await enrol(user, photos.carphone(1, first=66)[0], prefer="respond-async")
    assert pending.status_code == 202
    assert (await http.delete(f"{USERS}/{user}")).status_code == 204
    await asyncio.gather(*(search(photos.nobody()) for _ in range(3)))  # the pipeline moves on
    assert user not in await candidates(search, photos.carphone(1, first=66)[0])
