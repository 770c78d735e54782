"""Claim checks whose store is unavailable or denies them: they do not delay other messages."""

import asyncio
from uuid import uuid4

import pytest

from tests.end_to_end import photos
from tests.end_to_end.conftest import listening, running_workers
from tests.end_to_end.delivery import bench, until

pytestmark = pytest.mark.waits


@pytest.fixture
async def own(prepared, environment, tmp_path, store):
    own_store = {
        "S3__ENDPOINT_URL": store.url,
        "WORKERS__DENIED_PATIENCE": "3",
        "WORKERS__STALL_TIMEOUT": "5",
        "WORKERS__BATCH_TIMEOUT": "5",
    }
    async with bench(prepared, environment, tmp_path, **own_store) as made:
        yield made


def frame(name, **more):
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": name,
        "ce_source": "camera/claims",
        "ce_type": "fecapass.frame.captured",
        **more,
    }
    return [(key, value.encode()) for key, value in attributes.items()]


async def publish(own, run, order):
    """One frame a letter of the order: inline (i) or by claim check (c)."""
    for number, kind in enumerate(order):
        claim = {"ce_dataref": f"s3://{own.settings.s3.bucket}/frames/{number}"}
        await own.publish(
            photos.nobody() if kind == "i" else b"",
            headers=frame(f"{run}-{number}", **(claim if kind == "c" else {})),
        )


async def found(listener, run, count):
    """Ids of so many events of the run on ``faces.detected``."""
    messages = await listener.messages(
        count, lambda message: dict(message.headers)["ce_id"].decode().startswith(run), 120
    )
    return [int(dict(one.headers)["ce_id"].decode().rpartition("-")[2]) for one in messages]


async def test_frames_go_on_while_the_store_of_claim_checks_is_away(own, store, tmp_path):
    run = uuid4().hex
    async with (
        listening(own.settings, own.topics.detected) as detected,
        running_workers(["detect"], own.environment, tmp_path) as (worker,),
    ):
        await publish(own, run, "icicic" + "i" * 30)
        inline = [0, 2, 4, *range(6, 36)]
        assert sorted(await found(detected, run, len(inline))) == inline
        asked = store.asked
        await asyncio.sleep(8)  # longer than the watchdogs' times
        assert worker.returncode is None, worker.tail()
        assert store.asked > asked
        assert await own.committed(role="detect") == 1
        store.answer = (200, "")
        assert sorted(await found(detected, run, 3)) == [1, 3, 5]
        await until(lambda: is_committed(own, 36))
    assert await own.letters() == []


async def test_a_claim_check_that_is_denied_for_good_is_a_dead_letter(own, store, tmp_path):
    run = uuid4().hex
    store.answer = (403, "AccessDenied")
    async with (
        listening(own.settings, own.topics.detected) as detected,
        running_workers(["detect"], own.environment, tmp_path),
    ):
        await publish(own, run, "ci")
        assert await found(detected, run, 1) == [1]
        await until(own.letters)
        await until(lambda: is_committed(own, 2))
    (letter,) = await own.letters()
    headers = dict(letter.headers)
    assert headers["dlq_reason"] == b"access_denied"
    assert int(headers["dlq_attempts"]) > 1
    assert headers["ce_dataref"].startswith(b"s3://")


@pytest.mark.parametrize("listed", [True, False], ids=["may list", "may not list"])
async def test_an_object_that_its_store_fails_over_for_good_is_a_dead_letter(
    own, store, tmp_path, listed
):
    """Other objects are served: one of a listing, or the last one that was read."""
    run = uuid4().hex
    store.answer = (200, "")
    store.answers["frames/1"] = (500, "InternalError")
    store.listed = ["frames/1", "crops/another"] if listed else None
    async with (
        listening(own.settings, own.topics.detected) as detected,
        running_workers(["detect"], own.environment, tmp_path),
    ):
        await publish(own, run, "ici" if listed else "ic")
        if not listed:
            claim = {"ce_dataref": f"s3://{own.settings.s3.bucket}/frames/2"}
            await own.publish(b"", headers=frame(f"{run}-2", **claim))
        assert sorted(await found(detected, run, 2)) == [0, 2]
        await until(own.letters)
        await until(lambda: is_committed(own, 3))
        store.answers.clear()
    (letter,) = await own.letters()
    headers = dict(letter.headers)
    assert headers["dlq_reason"] == b"store_fault"
    assert int(headers["dlq_attempts"]) > 1


async def test_a_store_that_fails_over_all_objects_is_an_outage(own, store, tmp_path):
    """Though the bucket is there and can be listed: its disks may be away."""
    run = uuid4().hex
    store.answer = (500, "InternalError")
    store.listed = ["crops/another", "crops/one more"]
    async with (
        listening(own.settings, own.topics.detected) as detected,
        running_workers(["detect"], own.environment, tmp_path),
    ):
        await publish(own, run, "cc")
        await until(lambda: store.asked > 2)
        await asyncio.sleep(6)  # twice the patience
        assert await own.letters() == []
        assert await own.committed(role="detect") == 0
        store.answer = (200, "")
        assert sorted(await found(detected, run, 2)) == [0, 1]
    assert await own.letters() == []


async def test_wrong_credentials_are_an_outage(own, store, tmp_path):
    """They concern every object, so no event is at fault."""
    run = uuid4().hex
    store.answer = (403, "InvalidAccessKeyId")
    async with (
        listening(own.settings, own.topics.detected) as detected,
        running_workers(["detect"], own.environment, tmp_path),
    ):
        await publish(own, run, "c")
        await until(lambda: store.asked)
        await asyncio.sleep(6)
        assert await own.letters() == []
        store.answer = (200, "")
        assert await found(detected, run, 1) == [0]


async def is_committed(own, offset):
    return await own.committed(role="detect") == offset
