"""The cache knows who is at each camera now."""

from itertools import permutations
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.personal_data import DataSubject
from domain.visit_events import VisitState
from sinks.cache import open_visits as module
from sinks.cache.open_visits import OpenVisits
from sinks.store_errors import StoreUnavailable
from tests.contract.builders import an_open_visit, unique


@pytest_asyncio.fixture
async def open_visits(prepared):
    async with OpenVisits(prepared.redis) as sink:
        yield sink


def ended(visit, revision=None):
    return structs.replace(
        visit,
        revision=revision or visit.revision + 1,
        state=VisitState.ENDED,
        ended_at=visit.last_seen_at,
    )


async def test_open_visits_are_listed_by_camera_the_person_seen_last_first(open_visits):
    camera, other = unique("camera"), unique("camera")
    visits = [an_open_visit(camera, seconds=n, user_id=uuid4()) for n in range(3)]
    elsewhere = an_open_visit(other, seconds=10)
    await open_visits.remember([*visits, elsewhere])
    assert await open_visits.of(camera) == visits[::-1]
    assert await open_visits.of(other) == [elsewhere]
    assert await open_visits.of(unique("camera")) == []
    everywhere = [one for one in await open_visits.of() if one.camera_id in {camera, other}]
    assert everywhere == [elsewhere, *visits[::-1]]
    await open_visits.remember([])
    assert await open_visits.of(camera) == visits[::-1]


async def test_who_has_left_is_not_listed(open_visits):
    stays, leaves = an_open_visit(camera := unique("camera")), an_open_visit(camera)
    await open_visits.remember([stays, leaves])
    await open_visits.remember([ended(leaves)])
    assert await open_visits.of(camera) == [stays]
    back = structs.replace(leaves, revision=3, reason="returned")
    await open_visits.remember([back])
    assert {one.visit_id for one in await open_visits.of(camera)} == {
        stays.visit_id, back.visit_id,
    }  # fmt: skip


async def test_the_newest_revision_counts_in_whatever_order_they_come(open_visits):
    first = an_open_visit()
    stories = {
        "open": [first, structs.replace(first, revision=2, user_id=uuid4())],
        "ended": [first, structs.replace(first, revision=2), ended(first, 3)],
    }
    for name, story in stories.items():
        for order in permutations(story):
            visit_id, camera = uuid4(), unique("camera")
            sent = [structs.replace(one, visit_id=visit_id, camera_id=camera) for one in order]
            newest = structs.replace(story[-1], visit_id=visit_id, camera_id=camera)
            for one in sent:
                await open_visits.remember([one])
            assert await open_visits.of(camera) == ([newest] if name == "open" else [])
            again = unique("camera")
            await open_visits.remember([structs.replace(one, camera_id=again) for one in sent])
            assert len(await open_visits.of(again)) == (name == "open")


async def test_counts_change_within_a_revision(open_visits):
    visit = an_open_visit()
    later = structs.replace(visit, faces=9)
    await open_visits.remember([visit])
    await open_visits.remember([later])
    assert await open_visits.of(visit.camera_id) == [later]


async def test_a_camera_keeps_a_bounded_number(open_visits, monkeypatch):
    monkeypatch.setattr(module, "KEPT_VISITS", 5)
    camera = unique("camera")
    for n in range(12):
        await open_visits.remember([an_open_visit(camera, seconds=n)])
    assert len(await open_visits.of(camera)) == 5
    (size,) = [await open_visits._client.zcard(f"fecapass:visits:{camera}")]
    assert size == 5


async def test_what_does_not_change_for_long_is_forgotten(open_visits, prepared, monkeypatch):
    camera, visit = unique("camera"), an_open_visit()
    old, young = an_open_visit(camera), an_open_visit(camera)
    now = module.time()
    monkeypatch.setattr(module, "time", lambda: now - module.LIFETIME - 1)
    await open_visits.remember([old, visit])
    monkeypatch.setattr(module, "time", lambda: now)
    assert await open_visits.of(camera) == await open_visits.of(visit.camera_id) == []
    await open_visits.remember([young])
    assert await open_visits.of(camera) == [young]
    assert visit not in await open_visits.of()
    ttl = await open_visits._client.ttl(f"fecapass:visits:{camera}")
    assert 0 < ttl <= module.LIFETIME


async def test_an_erased_user_is_named_by_no_visit(open_visits, recents):
    user, camera = uuid4(), unique("camera")
    theirs, other = (
        an_open_visit(camera, user_id=user, similarity=0.9),
        an_open_visit(camera, user_id=uuid4()),
    )
    await open_visits.remember([theirs, other])
    assert (await recents.traces(DataSubject(user))).total == 1
    assert (await recents.erase(DataSubject(user))).total == 1
    assert await open_visits.of(camera) == [other]
    # A batch that was in work during the erasure.
    await open_visits.remember([structs.replace(theirs, revision=2)])
    assert (await recents.traces(DataSubject(user))).total == 0
    visits = {one.visit_id: one for one in await open_visits.of(camera)}
    assert visits[theirs.visit_id].user_id is None
    assert visits[theirs.visit_id].similarity is None
    assert visits[other.visit_id] == other


async def test_a_visit_whose_best_face_is_deleted_is_forgotten(open_visits, recents):
    shown, other = an_open_visit(best_face_id=uuid4()), an_open_visit(best_face_id=uuid4())
    await open_visits.remember([shown, other])
    assert await recents.forget_face(shown.best_face_id) == 1
    assert await open_visits.of(shown.camera_id) == []
    assert await open_visits.of(other.camera_id) == [other]


async def test_entries_of_another_release_are_skipped(open_visits):
    visit = an_open_visit()
    await open_visits.remember([visit])
    key = f"fecapass:visits:{visit.camera_id}"
    await open_visits._client.zadd(key, {b"{}": 1e12, b'{"who": 1}': 2e12, b"\xff": 3e12})
    assert await open_visits.of(visit.camera_id) == [visit]
    await open_visits.remember([ended(visit)])
    assert await open_visits.of(visit.camera_id) == []


@given(cameras=st.lists(st.text(), min_size=1, max_size=4, unique=True))
async def test_a_camera_may_have_any_name(prepared, cameras):
    suffix = unique("")
    named = {camera + suffix: an_open_visit(camera + suffix) for camera in cameras}
    async with OpenVisits(prepared.redis) as sink:
        await sink.remember(list(named.values()))
        for camera, visit in named.items():
            assert await sink.of(camera) == [visit]
        assert set(named) <= {visit.camera_id for visit in await sink.of()}


async def test_an_absent_server_is_an_outage_without_the_password(nowhere):
    async with OpenVisits(nowhere.redis) as sink:
        for call in (sink.remember([an_open_visit()]), sink.of("door"), sink.of()):
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert nowhere.redis.password.get_secret_value() not in str(caught.value)
