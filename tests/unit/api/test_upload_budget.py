"""Requests take turns when their photos together would fill the memory."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.problems import ApiProblem
from api.uploads.upload_budget import Intake


async def test_who_does_not_fit_waits_for_room_and_gets_it():
    intake = Intake(100, patience=30.0)
    told = []

    async def late():
        async with intake.room(60):
            told.append("in")

    async with intake.room(60):
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0)
        assert told == []
    await waiting
    assert told == ["in"]


async def test_who_waits_too_long_is_refused_and_takes_no_room():
    intake = Intake(100, patience=0.01)
    async with intake.room(60):
        with pytest.raises(ApiProblem) as refused:
            async with intake.room(60):
                pass
        assert (refused.value.status_code, refused.value.code) == (503, "too_busy")
        assert refused.value.headers["Retry-After"]
        async with intake.room(40):
            pass
    async with intake.room(100):
        pass


async def test_turns_come_in_the_order_of_arrival():
    intake = Intake(100, patience=30.0)
    order = []

    async def take(name, size):
        async with intake.room(size):
            order.append(name)
            await asyncio.sleep(0)

    async with intake.room(50):
        tasks = [asyncio.create_task(take(*one)) for one in (("large", 100), ("small", 10))]
        await asyncio.sleep(0)
        assert order == []  # the small one would fit, and waits behind the large one
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_who_leaves_the_queue_lets_the_next_one_in():
    intake = Intake(100, patience=30.0)
    async with intake.room(50), AsyncExitStack() as stack:
        large = asyncio.create_task(stack.enter_async_context(intake.room(100)))
        await asyncio.sleep(0)
        small = asyncio.create_task(stack.enter_async_context(intake.room(10)))
        await asyncio.sleep(0)
        large.cancel()
        await asyncio.wait_for(small, 5.0)


async def test_who_leaves_just_as_his_turn_comes_keeps_no_room():
    intake = Intake(100, patience=30.0)
    async with AsyncExitStack() as stack:
        async with intake.room(100):
            waiting = asyncio.create_task(stack.enter_async_context(intake.room(100)))
            await asyncio.sleep(0)
        waiting.cancel()  # he has the room, and does not know it yet
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        async with asyncio.timeout(5), intake.room(100):
            pass


async def test_what_is_larger_than_everything_gets_everything():
    intake = Intake(100, patience=0.01)
    async with intake.room(1000):
        with pytest.raises(ApiProblem):
            async with intake.room(1):
                pass


@given(
    st.lists(
        st.tuples(st.integers(0, 150), st.integers(0, 4), st.sampled_from(["stay", "cancel"])),
        max_size=12,
    )
)
def test_no_more_is_ever_held_than_there_is_and_all_of_it_comes_back(requests):
    async def run() -> None:
        intake = Intake(100, patience=30.0)
        held = 0

        async def one(size, ticks):
            nonlocal held
            async with intake.room(size):
                held += min(size, 100)
                assert held <= 100
                try:
                    for _ in range(ticks):
                        await asyncio.sleep(0)
                finally:
                    held -= min(size, 100)

        tasks = []
        for size, ticks, fate in requests:
            task = asyncio.create_task(one(size, ticks))
            await asyncio.sleep(0)
            if fate == "cancel":
                task.cancel()
            tasks.append(task)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in outcomes)
        async with asyncio.timeout(5), intake.room(100):
            pass

    asyncio.run(run())
