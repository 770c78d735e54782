"""What the cache deletes of a face or a user, and what it keeps."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from domain.personal_data import DataSubject
from domain.upload_answers import UploadAnswer, encode_answer
from sinks.cache.recent_matches import Recents
from sinks.store_errors import StoreUnavailable
from tests.contract.builders import a_match, an_event

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"


async def test_a_face_is_forgotten_and_its_neighbours_are_not(recents, waiter):
    camera, upload, other = uuid4().hex, uuid4().hex, uuid4().hex
    forgotten, kept = (a_match(an_event(camera)) for _ in range(2))
    await recents.remember_matches([forgotten, kept])
    for identifier, face in ((upload, forgotten), (other, kept)):
        answer = UploadAnswer(
            upload_id=identifier, status="enrolled", model="m", face_id=face.face_id
        )
        await recents.answer(identifier, encode_answer(answer))
    assert await recents.forget_face(forgotten.face_id) == 3  # both listings, and the answer
    assert await recents.recent(10, camera) == [kept]
    assert forgotten not in await recents.recent(1000)
    assert await waiter.wait(upload, 0.05) is None
    assert await waiter.wait(other, 5.0) is not None


async def test_answers_that_name_a_person_are_forgotten_with_the_person(recents, waiter):
    user, upload, other = uuid4(), uuid4().hex, uuid4().hex
    for identifier, person in ((upload, user), (other, uuid4())):
        answer = UploadAnswer(upload_id=identifier, status="enrolled", model="m", user_id=person)
        await recents.answer(identifier, encode_answer(answer))
    assert (await recents.erase(DataSubject(user))).total == 1
    assert await waiter.wait(upload, 0.05) is None
    assert await waiter.wait(other, 5.0) is not None


async def test_an_expected_upload_differs_from_an_unknown_one(recents):
    upload = uuid4().hex
    assert await recents.expected_answer(upload) is None
    await recents.expect_answer(upload, 60.0)
    assert await recents.expected_answer(upload) == ""


async def test_nothing_about_an_erased_user_is_written_again(recents, waiter):
    """A batch that was in work during the erasure writes to the cache after it."""
    user, other, camera, upload = uuid4(), uuid4(), uuid4().hex, uuid4().hex
    await recents.erase(DataSubject(user))
    matches = [a_match(an_event(camera), user_id=one) for one in (user, other, None)]
    await recents.remember_matches(matches)
    answer = UploadAnswer(upload_id=upload, status="enrolled", model="m", user_id=user)
    await recents.answer(upload, encode_answer(answer))
    assert {one.user_id for one in await recents.recent(10, camera)} == {other, None}
    assert await waiter.wait(upload, 0.05) is None
    assert (await recents.traces(DataSubject(user))).total == 0
    assert (await recents.traces(DataSubject(other))).total > 0


async def test_an_erasure_between_read_and_write_is_noticed(prepared):
    """The tombstone is set after the writer has read the tombstones, and before it writes."""
    user, camera = uuid4(), uuid4().hex
    async with Recents(prepared.redis) as writer, Recents(prepared.redis) as eraser:
        pipeline_of = writer._client.pipeline
        looks = []

        class Slow:
            """A pipeline with an erasure between its read and its write."""

            def __init__(self, inner):
                self.inner = inner

            async def __aenter__(self):
                await self.inner.__aenter__()
                return self

            async def __aexit__(self, *error):
                return await self.inner.__aexit__(*error)

            async def mget(self, keys):
                found = await self.inner.mget(keys)
                looks.append(found)
                if len(looks) == 1:
                    await eraser.erase(DataSubject(user))
                return found

            def __getattr__(self, name):
                return getattr(self.inner, name)

        writer._client.pipeline = lambda **options: Slow(pipeline_of(**options))
        await writer.remember_matches([a_match(an_event(camera), user_id=user)])
        assert len(looks) == 2
        assert (await eraser.traces(DataSubject(user))).total == 0


async def test_faces_that_an_older_worker_writes_are_found_and_deleted(recents):
    """Workers of release 0.1 store recent faces of cameras, with the recognised user."""
    user, face, key = uuid4(), uuid4(), f"fecapass:recent:{uuid4().hex}"
    values = [f"{one}".encode() for one in (user, face, uuid4())]
    await recents._client.lpush(key, *values)
    assert (await recents.traces(DataSubject(user))).total == 1
    assert (await recents.erase(DataSubject(user))).total == 1
    assert await recents.forget_face(face) == 1
    assert await recents._client.lrange(key, 0, -1) == values[2:]


async def test_the_documented_permissions_of_a_redis_user_are_enough(prepared, recents):
    (documented,) = re.findall(r"Redis user with an ACL needs `([^`]+)`", SECURITY.read_text())
    name, user, camera = f"test-{uuid4().hex}", uuid4(), uuid4().hex
    await recents._client.execute_command(
        "ACL", "SETUSER", name, "on", ">secret", "resetkeys", "resetchannels", *documented.split()
    )
    settings = prepared.redis.model_copy(update={"username": name, "password": SecretStr("secret")})
    try:
        async with Recents(settings) as limited:
            await limited.ping()
            await limited.remember_matches([a_match(an_event(camera), user_id=user)])
            await limited.expect_answer(uuid4().hex, 60.0)
            answer = UploadAnswer(upload_id="one", status="enrolled", model="m", user_id=user)
            await limited.answer("one", encode_answer(answer))
            assert len(await limited.recent(10, camera)) == 1
            assert (await limited.erase(DataSubject(user))).total == 3
            await recents._client.execute_command("ACL", "SETUSER", name, "-zscan")
            with pytest.raises(StoreUnavailable, match=r"(?i)permission|NOPERM"):
                await limited.erase(DataSubject(user))
    finally:
        await recents._client.execute_command("ACL", "DELUSER", name)
