"""Searches of sightings take turns, so that they leave the database to others."""

import asyncio

import pytest

from api.http.problems import ApiProblem
from api.listings.search_turns import SearchTurns


async def test_so_many_run_at_once_and_the_others_follow():
    turns, running, most = SearchTurns(2, patience=30.0), 0, 0

    async def search():
        nonlocal running, most
        async with turns.turn():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(search() for _ in range(7)))
    assert most == 2


async def test_who_waits_too_long_is_refused_and_takes_no_turn():
    turns = SearchTurns(1, patience=0.01)
    async with turns.turn():
        with pytest.raises(ApiProblem) as refused:
            async with turns.turn():
                pass
        assert (refused.value.status_code, refused.value.code) == (503, "too_busy")
        assert refused.value.headers["Retry-After"]
    async with turns.turn():
        pass


async def test_a_search_that_fails_gives_its_turn_back():
    turns = SearchTurns(1, patience=0.01)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn():
            raise ZeroDivisionError
    async with turns.turn():
        pass
