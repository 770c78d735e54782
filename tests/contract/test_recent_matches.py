import asyncio
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.personal_data import DataSubject
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.cache.recent_matches import Recents
from sinks.store_errors import StoreUnavailable
from tests.contract.builders import a_match, an_event, unique


async def test_entries_of_another_release_are_skipped(recents):
    camera, user = unique("camera"), uuid4()
    match = a_match(an_event(camera), user_id=user)
    await recents.remember_matches([match])
    strange = f'{{"who": "{user}"}}'.encode()
    await recents._client.zadd(f"fecapass:matches:{camera}", {b"{}": 1e12, strange: 2e12})
    assert await recents.recent(5, camera) == [match]
    assert (
        await recents.erase(DataSubject(user))
    ).total == 3  # what names the user goes, readable or not


async def test_matches_are_listed_newest_first_and_once(recents):
    camera = unique("camera")
    matches = [a_match(an_event(camera, seconds=n)) for n in range(5)]
    await recents.remember_matches(matches[2:])
    await recents.remember_matches(matches)
    assert await recents.recent(10, camera) == matches[::-1]
    assert await recents.recent(2, camera) == matches[:2:-1]
    assert await recents.recent(0, camera) == []
    assert await recents.recent(10, unique("camera")) == []
    await recents.remember_matches([])


async def test_all_cameras_are_listed_together(recents):
    far = 100 * 365 * 24 * 3600  # later than all entries of other tests
    pair = [a_match(an_event(unique("camera"), seconds=far + n)) for n in range(2)]
    await recents.remember_matches(pair)
    assert await recents.recent(2) == pair[::-1]


async def test_listings_keep_a_bounded_number(prepared):
    settings = prepared.redis.model_copy(update={"recent_matches_kept": 10})
    camera = unique("camera")
    matches = [a_match(an_event(camera, seconds=n)) for n in range(30)]
    async with Recents(settings) as recents:
        await recents.remember_matches(matches)
        assert await recents.recent(100, camera) == matches[:-11:-1]


async def test_an_erased_user_is_in_no_listing(recents):
    camera, user, other = unique("camera"), uuid4(), uuid4()
    theirs, others = (a_match(an_event(camera), user_id=who) for who in (user, other))
    await recents.remember_matches([theirs, others])
    assert (await recents.erase(DataSubject(user))).total == 2
    assert await recents.recent(10, camera) == [others]
    assert theirs not in await recents.recent(1000)
    assert (await recents.erase(DataSubject(user))).total == 0


@given(cameras=st.lists(st.text(), min_size=1, max_size=4, unique=True))
async def test_a_camera_may_have_any_name(recents, cameras):
    suffix = unique("")
    named = {camera + suffix: a_match(an_event(camera + suffix)) for camera in cameras}
    await recents.remember_matches(list(named.values()))
    for camera, match in named.items():
        assert await recents.recent(10, camera) == [match]


async def test_an_existing_answer_is_returned_at_once(recents, waiter):
    upload = unique("upload")
    await recents.answer(upload, b"{}")
    async with asyncio.timeout(5):  # long before the last read at the end of the waiting time
        assert await waiter.wait(upload, 60) == b"{}"
        assert await waiter.wait(upload, 60) == b"{}"


async def test_an_answer_wakes_all_its_waiting_callers_and_no_others(prepared, waiter):
    upload, other = unique("upload"), unique("upload")
    waiting = [asyncio.create_task(waiter.wait(upload, 10)) for _ in range(3)]
    bystander = asyncio.create_task(waiter.wait(other, 10))
    async with Recents(prepared.redis) as worker:
        await asyncio.sleep(0)
        await worker.answer(upload, b"one")
        assert await asyncio.gather(*waiting) == [b"one"] * 3
        assert not bystander.done()
        await worker.answer(other, b"two")
        assert await bystander == b"two"


async def test_without_an_answer_waiting_returns_none_in_time(waiter):
    assert await waiter.wait(unique("upload"), 0.05) is None


async def test_hundreds_wait_over_one_connection_and_each_gets_its_answer(prepared):
    uploads = [unique("upload") for _ in range(300)]
    waiter = AnswerWaiter(prepared.redis)
    async with Recents(prepared.redis) as worker:
        ((_, others),) = await worker._client.pubsub_numsub("fecapass:answers")
        waiting = [asyncio.create_task(waiter.wait(u, 20)) for u in uploads]
        await waiter.wait(unique("unanswered"), 0.05)
        subscribers = await worker._client.pubsub_numsub("fecapass:answers")
        assert subscribers == [(b"fecapass:answers", others + 1)]
        for upload in reversed(uploads):
            await worker.answer(upload, upload.encode())
        assert await asyncio.gather(*waiting) == [u.encode() for u in uploads]
        assert not waiter._waiting


@given(delays=st.lists(st.floats(0, 0.004), min_size=1, max_size=8))
async def test_no_wake_up_is_lost_whenever_the_answer_comes(prepared, recents, delays):
    """A new waiter each time, so that answers also arrive while it subscribes."""
    waiter = AnswerWaiter(prepared.redis)

    async def answer(upload, delay):
        await asyncio.sleep(delay)
        await recents.answer(upload, b"a")

    uploads = [unique("upload") for _ in delays]
    answers = [asyncio.create_task(answer(*pair)) for pair in zip(uploads, delays, strict=True)]
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(waiter.wait(upload, 60) for upload in uploads))
    await asyncio.gather(*answers)
    await waiter.close()
    assert found == [b"a"] * len(delays)


async def test_waiting_outlives_a_restart_of_the_server(prepared, stack):
    upload, later = unique("upload"), unique("upload")
    waiter = AnswerWaiter(prepared.redis)
    async with Recents(prepared.redis) as recents:
        assert await waiter.wait(upload, 0.1) is None  # subscribed by now
        waiting = asyncio.create_task(waiter.wait(upload, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(stack.stop_server, "redis")
        with pytest.raises(StoreUnavailable):
            await recents.answer(later, b"lost")
        with pytest.raises(StoreUnavailable):
            await waiter.wait(later, 0.1)
        await asyncio.to_thread(stack.start_server, "redis")
        await recents.answer(upload, b"after the restart")
        async with asyncio.timeout(20):
            assert await waiting == b"after the restart"
    await waiter.close()


async def test_closing_ends_the_wait_with_an_error(prepared):
    waiter = AnswerWaiter(prepared.redis)
    waiting = asyncio.create_task(waiter.wait(unique("upload"), 30))
    assert await waiter.wait(unique("upload"), 0.05) is None
    await waiter.close()
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_an_absent_server_is_an_outage_without_the_password(nowhere):
    waiter = AnswerWaiter(nowhere.redis)
    async with Recents(nowhere.redis) as recents:
        calls = [
            recents.ping(),
            recents.remember_matches([a_match(an_event())]),
            recents.recent(1),
            recents.erase(DataSubject(uuid4())),
            recents.answer("u", b""),
            waiter.wait("u", 0.1),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert nowhere.redis.password.get_secret_value() not in str(caught.value)
    await waiter.close()


async def test_ping(recents):
    await recents.ping()
