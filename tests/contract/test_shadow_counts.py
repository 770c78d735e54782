"""Counts of live faces that models in shadow have embedded, too."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from domain.decisions.model_change import EmbedderFile
from domain.decisions.shadow_frames import ShadowCount
from domain.events import utc_now
from domain.personal_data import Cutoffs
from services.model_changes import add_model, retire_model
from sinks.main.database_sessions import Databases
from sinks.main.models.model_schema import ShadowCountRow
from sinks.main.models.shadow_counts import KEPT_DAYS, CountedFor
from tests.contract.builders import unique

COUNT = ShadowCount(8, 7, 6, 5, 4, 3, 2, 1)
AGE = "UPDATE shadow_counts SET hour = hour - make_interval(days => $2) WHERE model = $1"


@pytest.fixture
def model():
    return unique("shadow")


async def total(records, model, serving="old"):
    return ShadowCount.total(one.count for one in await records.shadow_counts(model, serving))


async def age(records, model, days):
    async with records._connection("test") as connection:
        await connection.execute(AGE, model, days)


async def test_counts_of_an_hour_are_added_also_by_workers_at_once(records, model):
    keys = [CountedFor(model, "old", f"door-{number}") for number in range(20)]

    async def add(order):
        for _ in range(5):
            await records.add_shadow_counts(dict.fromkeys(order, COUNT))

    await asyncio.gather(add(keys), add(keys[::-1]))
    await records.add_shadow_counts({CountedFor(model, "older", "door-1"): COUNT})
    await records.add_shadow_counts({})
    assert await total(records, model) == ShadowCount.total([COUNT] * 200)
    hours = await records.shadow_counts(model, "old")
    assert {one.camera_id for one in hours} == {one.camera_id for one in keys}
    assert all(utc_now() - one.hour < timedelta(hours=2) for one in hours)
    assert await total(records, model, "older") == COUNT


async def test_counts_are_kept_for_some_days(records, model):
    await records.add_shadow_counts({CountedFor(model, "old", "door"): COUNT})
    await age(records, model, KEPT_DAYS + 1)
    other = CountedFor(unique("shadow"), "old", "door")
    await records.add_shadow_counts({other: COUNT})
    assert await records.shadow_counts(model, "old") == []


async def test_counts_go_with_the_sightings_that_are_too_old(records, model):
    await records.add_shadow_counts({CountedFor(model, "old", "door"): COUNT})
    await age(records, model, 5)
    await records.add_shadow_counts({CountedFor(model, "old", "door"): COUNT})
    await records.expire(Cutoffs(utc_now() - timedelta(days=3), None, 1000))
    assert await total(records, model) == COUNT


async def test_counts_of_a_retired_model_are_deleted(records, prepared, model):
    file = EmbedderFile("arcface", "0" * 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), mirror=False)
    await records.add_shadow_counts({CountedFor(model, "old", "door"): COUNT})
    await records.add_shadow_counts({CountedFor("other", model, "door"): COUNT})
    async with Databases(prepared) as databases:
        async with databases.main.begin() as session:
            await add_model(session, "test", model, file, 4)
        async with databases.main.begin() as session:
            await retire_model(session, "test", model)
        async with databases.main() as session:
            rows = (await session.scalars(select(ShadowCountRow))).all()
    assert not [row for row in rows if model in (row.model, row.serving)]
