import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.memory_budget import Budget, groups


@given(st.lists(st.integers(0, 20)), st.integers(1, 20))
def test_groups_fit_and_keep_all_in_order(costs, most):
    runs = groups(costs, lambda cost: cost, most)
    assert [cost for run in runs for cost in run] == costs
    assert all(sum(run) <= most or len(run) == 1 for run in runs)


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20), st.data())
async def test_never_more_is_lent_than_there_is(wishes, total, data):
    budget = Budget(total)
    held, most = 0, 0
    keep = [data.draw(st.integers(0, wish)) for wish in wishes]

    async def work(wish, rest):
        nonlocal held, most
        async with budget.hold(wish) as share:
            held += share.units
            most = max(most, held)
            await asyncio.sleep(0)
            before = share.units
            share.shrink(rest)
            held -= before - share.units
            await asyncio.sleep(0)
            held -= share.units

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for wish, rest in zip(wishes, keep, strict=True):
            tasks.create_task(work(wish, rest))
    assert most <= total
    async with budget.hold(total) as share:
        assert share.units == total


async def test_who_asks_first_is_served_first():
    budget = Budget(10)
    order = []

    async def work(name, wish):
        async with budget.hold(wish):
            order.append(name)
            await asyncio.sleep(0)

    async with budget.hold(5):
        tasks = [asyncio.create_task(work("large", 8)), asyncio.create_task(work("small", 1))]
        await asyncio.sleep(0)
        assert order == [], "the small one must not overtake, or the large one waits for ever"
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_who_gives_up_waiting_holds_nothing():
    budget = Budget(10)
    async with budget.hold(10):
        waiting = asyncio.create_task(budget.hold(10).__aenter__())
        behind = asyncio.create_task(budget.hold(3).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5):
        share = await behind
        async with budget.hold(7):
            share.shrink(0)


async def test_who_gives_up_when_served_holds_nothing():
    budget = Budget(10)
    async with budget.hold(10):
        waiting = asyncio.create_task(budget.hold(10).__aenter__())
        await asyncio.sleep(0)
    waiting.cancel()  # its units are lent already, but it has not run since
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5), budget.hold(10):
        pass


async def test_a_request_of_size_zero_does_not_wait():
    budget = Budget(10)
    async with budget.hold(10):
        waiting = asyncio.create_task(budget.hold(1).__aenter__())
        await asyncio.sleep(0)
        async with asyncio.timeout(1), budget.hold(0):
            assert not waiting.done()
    await waiting
