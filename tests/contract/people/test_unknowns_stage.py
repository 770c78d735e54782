"""The unknowns agent on the real stores: the same unknowns whatever happens on the way."""

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from domain.decisions.grouping import first_unknown_id, template_of
from domain.failures import Retry
from domain.personal_data import Cutoffs
from sinks.store_errors import StoreUnavailable
from tests.contract.builders import unique
from tests.contract.stored_unknowns import (
    POLICY,
    Crowd,
    Grouped,
    message,
    store_visits,
    stored_groups,
    unknowns_stage,
)
from tests.stored_records import stored_user


@pytest.fixture
def crowd():
    return Crowd(unique("model"), np.random.default_rng(5))


class Unsteady:
    """A store of which calls are done and not answered, or not done, at times."""

    def __init__(self, store, chance):
        self._store = store
        self._chance = chance

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _fail(self):
        if self._chance.random() < 0.15:
            raise StoreUnavailable("Postgres", "test", "no answer")

    async def add(self, *arguments):
        self._fail()
        done = await self._store.add(*arguments)
        self._fail()
        return done

    @asynccontextmanager
    async def locked(self, model):
        async with self._store.locked(model) as locked:
            yield locked
            self._fail()
        self._fail()


async def story(records, visits, vectors, crowd, seed):
    """Scenes of people who were seen together, in order."""
    chance = random.Random(seed)
    scenes = []
    for _ in range(24):
        people = chance.sample(range(len(crowd.people)), chance.choice((1, 1, 1, 2, 3)))
        # Now and then a person is there twice: as twins, or a mirror.
        people += people[:1] if chance.random() < 0.2 else []
        scenes.append(await store_visits(records, visits, vectors, crowd, people))
    return scenes


@pytest.mark.parametrize("seed", [1, 2])
async def test_replays_batches_failures_and_two_workers_make_no_difference(
    records, visits, vectors, unknowns, unknown_gallery, crowd, seed
):
    crowd.noise = 0.25
    scenes = await story(records, visits, vectors, crowd, seed)
    expected = Grouped()
    for scene in scenes:
        expected.see(scene)
    chance = random.Random(seed)
    messages = [message(one.visit) for scene in scenes for one in scene]
    with (
        unknowns_stage(
            Unsteady(unknowns, chance), Unsteady(unknown_gallery, chance), vectors
        ) as one,
        unknowns_stage(
            Unsteady(unknowns, chance), Unsteady(unknown_gallery, chance), vectors
        ) as two,
    ):
        place = 0
        while place < len(messages):
            # A batch may begin again before what was done already.
            batch = messages[max(0, place - chance.randrange(4)) : place + chance.randrange(1, 6)]
            try:
                assert await chance.choice((one, two)).process(batch) == {}
            except Retry:
                continue
            place = messages.index(batch[-1]) + 1
    every = [one for scene in scenes for one in scene]
    assert await stored_groups(unknowns, every) == expected.unknown_of
    templates = {
        change.user_id: change.embedding for change in await unknown_gallery.changes(crowd.model, 0)
    }
    assert templates.keys() == expected.exemplars.keys()
    for unknown, exemplars in expected.exemplars.items():
        assert templates[unknown] == pytest.approx(template_of(exemplars), abs=1e-6)
    for scene in scenes:
        groups = [expected.unknown_of[one.visit.visit_id] for one in scene]
        assert len(set(groups)) == len(groups), "two faces of one frame are two people"


async def test_two_workers_at_the_same_moment_begin_one_unknown(
    records, visits, vectors, unknowns, unknown_gallery, crowd
):
    stored = [(await store_visits(records, visits, vectors, crowd, [0]))[0] for _ in range(6)]
    with (
        unknowns_stage(unknowns, unknown_gallery, vectors) as one,
        unknowns_stage(unknowns, unknown_gallery, vectors) as two,
    ):
        await asyncio.gather(
            *(
                (one, two)[place % 2].process([message(each.visit)])
                for place, each in enumerate(stored)
            )
        )
    assert len(set((await stored_groups(unknowns, stored)).values())) == 1


async def test_an_unknown_is_announced_at_the_second_visit(
    records, visits, vectors, unknowns, unknown_gallery, crowd
):
    stored = [(await store_visits(records, visits, vectors, crowd, [1]))[0] for _ in range(3)]
    unknown = first_unknown_id(stored[0].visit.visit_id)
    counts = []
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        for one in stored:
            await stage.process([message(one.visit)])
            counts.append(await announced(records, unknown))
    assert counts == [0, 1, 1]
    row = await unknown_row(records, unknown)
    assert (row["visits"], row["state"], row["model"]) == (3, "open", crowd.model)
    assert row["first_seen_at"] == stored[0].visit.started_at


async def announced(records, unknown):
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT count(*) FROM people_messages WHERE body->>'unknown_id' = $1"
            " AND body->>'type' = 'fecapass.unknown.created'",
            str(unknown),
        )


async def unknown_row(records, unknown):
    async with records._connection("test") as connection:
        return await connection.fetchrow("SELECT * FROM unknowns WHERE id = $1", unknown)


async def test_people_of_one_frame_stay_apart(
    records, visits, vectors, unknowns, unknown_gallery, crowd
):
    """Two visits of the same person in the same frames: as like as can be, and two unknowns."""
    one, two = await store_visits(records, visits, vectors, crowd, [2, 2])
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        await stage.process([message(one.visit), message(two.visit)])
    groups = await stored_groups(unknowns, [one, two])
    assert len(set(groups.values())) == 2
    async with records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT one, other, relation, reason FROM unknown_pairs WHERE one = ANY($1::uuid[])",
            list(groups.values()),
        )
    assert [tuple(row) for row in rows] == [(*sorted(groups.values()), "apart", "frame")]


@pytest.mark.parametrize("changes", [{"faces": 2}, {"reason": "merged"}], ids=["few", "merged"])
async def test_what_cannot_be_grouped_is_left_out(
    records, visits, vectors, unknowns, unknown_gallery, crowd, changes
):
    (one,) = await store_visits(records, visits, vectors, crowd, [3])
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        await stage.process([message(structs.replace(one.visit, **changes))])
    assert await stored_groups(unknowns, [one]) == {}
    assert crowd.model not in await unknown_gallery.models()


async def test_a_visit_that_is_a_users_now_is_taken_from_its_unknown(
    records, visits, vectors, unknowns, unknown_gallery, crowd
):
    first, second, third = [
        (await store_visits(records, visits, vectors, crowd, [person]))[0] for person in (4, 4, 5)
    ]
    unknown = first_unknown_id(first.visit.visit_id)
    user = (await stored_user(records, f"{unique('u')}@example.org")).id
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        await stage.process([message(one.visit) for one in (first, second, third)])
        for one in (first, third):
            later = structs.replace(one.visit, user_id=user, revision=3)
            for _ in range(2):
                await stage.process([message(later)])
    assert await stored_groups(unknowns, [first, second, third]) == {second.visit.visit_id: unknown}
    assert (await unknown_row(records, unknown))["visits"] == 1
    gone = first_unknown_id(third.visit.visit_id)
    assert await unknown_row(records, gone) is None
    templates = {
        one.user_id: one.embedding for one in await unknown_gallery.changes(crowd.model, 0)
    }
    assert templates[gone] is None
    assert templates[unknown] == pytest.approx(second.embedding, abs=1e-6)


async def test_unknowns_who_were_not_seen_for_long_are_deleted_everywhere(
    records, visits, vectors, unknowns, unknown_gallery, crowd
):
    old, young = [
        (await store_visits(records, visits, vectors, crowd, [person]))[0] for person in (6, 7)
    ]
    with unknowns_stage(unknowns, unknown_gallery, vectors) as stage:
        await stage.process([message(old.visit), message(young.visit)])
    gone = first_unknown_id(old.visit.visit_id)
    async with records._connection("test") as connection:
        edge = await connection.fetchval(
            "UPDATE unknowns SET changed_at = now() - interval '9 days' WHERE id = $1"
            " RETURNING changed_at + interval '1 day'",
            gone,
        )
    before = Cutoffs(None, None, 100, unknowns=edge)
    rows = await records.expire(before)
    assert rows.counts["unknowns"] == 1
    assert rows.elsewhere.unknown_ids == {gone}
    await vectors.expire(Cutoffs(None, None, 100, rows.elsewhere, unknowns=edge))
    left = {
        one.user_id
        for one in await unknown_gallery.changes(crowd.model, 0)
        if one.embedding is not None
    }
    assert left == {first_unknown_id(young.visit.visit_id)}
    assert await unknown_gallery.exemplars_of(crowd.model, [gone]) == {}


async def test_each_model_has_its_own_threshold(
    records, visits, vectors, unknowns, unknown_gallery
):
    crowds = [Crowd(unique("model"), np.random.default_rng(5)) for _ in range(2)]
    strict = crowds[0].model

    def policy(model):
        return replace(POLICY, threshold=0.9999 if model == strict else POLICY.threshold)

    numbers = []
    with unknowns_stage(unknowns, unknown_gallery, vectors, policy) as stage:
        for crowd in crowds:
            stored = [
                (await store_visits(records, visits, vectors, crowd, [0]))[0] for _ in range(2)
            ]
            await stage.process([message(one.visit) for one in stored])
            numbers.append(len(set((await stored_groups(unknowns, stored)).values())))
    assert numbers == [2, 1]
