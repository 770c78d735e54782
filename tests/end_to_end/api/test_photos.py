"""Photos on their way in: limits, hostile files, and how many a process takes at once."""

import asyncio
from uuid import uuid4

from tests.end_to_end import photos
from tests.end_to_end.api.conftest import (
    FACES,
    SEARCH,
    USERS,
    assert_problem,
    new_key,
    running_app,
)


async def test_limits_hold_while_a_form_is_read(prepared, new_user):
    user = await new_user()
    key = await new_key(prepared, "enrol", "search")
    limits = {"max_photo_bytes": 100_000, "max_photos": 2}
    small, large = photos.carphone(1)[0], b"\xff\xd8\xff" + bytes(100_000)
    async with running_app(prepared, **limits, max_request_bytes=120_000) as client:
        client.headers["X-API-Key"] = key

        async def post(*contents, address=FACES, field="photos", data=None):
            return await client.post(
                address,
                data={"user_id": user} if data is None else data,
                files=[(field, ("a.jpg", content)) for content in contents],
            )

        assert_problem(await post(large), 413, "photo_too_large")
        assert_problem(await post(small, small, small), 422, "too_many_photos")
        assert_problem(await post(b"x" * 200_000), 413, "too_large")
        full = small + bytes(99_000 - len(small))
        assert_problem(await post(full, full), 413, "too_large")
        assert_problem(await post(b"GIF89a" + bytes(100)), 422, "unsupported_format")
        assert_problem(await post(b""), 422, "empty")
        assert_problem(await post(b"\xff\xd8\xff" + bytes(9)), 422, "corrupt")
        assert_problem(await post(photos.bomb()), 422, "too_many_pixels")
        assert_problem(await post(small, photos.bomb()), 422, "too_many_pixels")
        assert_problem(await post(small, data={}), 422, "invalid_request")
        assert_problem(await post(small, data={"user_id": "x"}), 422, "invalid_request")
        assert_problem(await post(small, field="photo"), 422, "invalid_request")
        assert_problem(await post(small, data={"user_id": str(uuid4())}), 404, "user_not_found")
        for fields in ({"limit": "0"}, {"limit": "11"}, {"threshold": "nan"}, {"threshold": "2"}):
            answer = await post(small, address=SEARCH, field="photo", data=fields)
            assert_problem(answer, 422, "invalid_request")
        assert_problem(
            await post(small, small, address=SEARCH, field="photo", data={}), 422, "too_many_photos"
        )
        answer = await client.post(FACES, json={"user_id": user})
        assert_problem(answer, 415, "unsupported_media_type")
        for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
            answer = await client.post(FACES, content=b"nonsense", headers={"content-type": kind})
            assert_problem(answer, 400, "malformed_form")
        answer = await client.post(USERS, content=b"x" * 100_000)
        assert_problem(answer, 413, "too_large")

        async def endless():
            while True:
                yield b"x" * 10_000

        answer = await client.post(
            FACES, content=endless(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code in {400, 413}


async def test_hostile_files_are_refused_and_never_our_fault(shared, http, new_user, enrol, search):
    user = await new_user()
    files = sorted(path for path in (shared / "data" / "hostile").iterdir() if path.is_file())
    assert len(files) > 10
    gate = asyncio.Semaphore(8)

    async def both(path):
        async with gate:
            data = path.read_bytes()
            return path.name, [await enrol(user, data), await search(data)]

    for name, answers in await asyncio.gather(*(both(path) for path in files)):
        for answer in answers:
            assert answer.status_code in {200, 201, 422}, (name, answer.status_code, answer.text)
            if answer.status_code == 422:
                assert answer.json()["code"], name


async def test_a_decompression_bomb_is_refused_before_anything_is_published(prepared):
    """There is no broker that could take it."""
    key = await new_key(prepared, "search")
    nowhere = prepared.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with running_app(prepared.model_copy(update={"kafka": nowhere})) as client:
        answer = await client.post(
            SEARCH, files={"photo": ("a.png", photos.bomb())}, headers={"X-API-Key": key}
        )
    problem = assert_problem(answer, 422, "too_many_pixels")
    assert "100000x100000" in problem["detail"]


async def test_photos_that_do_not_fit_into_memory_together_take_turns(prepared):
    """Each holds its room while it arrives, and a slot that is never released is lost for ever."""
    key = await new_key(prepared, "search")
    limits = {"max_upload_memory": 150_000, "upload_timeout": 2.0, "answer_timeout": 0.5}
    stuck = asyncio.Event()

    async def slow():
        yield b"--x\r\n"
        stuck.set()
        await asyncio.sleep(60)

    async with running_app(prepared, **limits) as client:
        client.headers["X-API-Key"] = key
        first = asyncio.create_task(
            client.post(
                SEARCH,
                content=slow(),
                headers={
                    "content-type": "multipart/form-data; boundary=x",
                    "content-length": "140000",
                },
            )
        )
        await stuck.wait()
        photo = {"photo": ("a.jpg", photos.carphone(1)[0] + bytes(20_000))}
        refused = await client.post(SEARCH, files=photo)
        assert_problem(refused, 503, "too_busy")
        assert refused.headers["retry-after"]
        assert_problem(await first, 408, "too_slow")
        later = await client.post(SEARCH, files=photo, headers={"prefer": "respond-async"})
        assert later.status_code == 202, later.text
