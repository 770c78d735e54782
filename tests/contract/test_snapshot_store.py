"""Snapshots in the stores: written with their frame's faces, kept for visits, erased with users."""

from datetime import timedelta

import pytest
from msgspec import structs

from domain.events import utc_now
from domain.personal_data import Author, Cutoffs
from infra.maintenance.maintenance_stores import MaintenanceStores
from services.erasure import erase
from sinks.main.main_maintenance import MainMaintenance
from sinks.stores import Stores
from tests.contract.builders import a_result, an_event, unique
from tests.contract.stored_people import followed, the_result, with_snapshot
from tests.contract.stored_visits import a_change, a_visit, ended, face_of
from tests.stored_records import commit_results

LIMIT = 2


@pytest.fixture
async def maintenance(prepared):
    async with MainMaintenance(prepared.main_db) as store:
        yield store


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


@pytest.fixture
def camera():
    return unique("door")


async def keep(stored, *results):
    """Store results with their snapshots, as an identify worker does it."""
    kept = [with_snapshot(one) for one in results]
    for one in kept:
        await stored.crops.put(one.snapshot_key, b"\xff\xd8\xff")
    await commit_results(stored.records, kept)
    await stored.records.mark_announced([one.key for one in kept])
    return kept


async def rows_of(maintenance, results):
    """Which of these results have a row of a snapshot."""
    keys = await maintenance.snapshot_keys([one.event.uuid for one in results])
    return [one.event.uuid in keys for one in results]


async def age(records, table, column, where, values, minutes):
    async with records._connection("test") as connection:
        await connection.execute(
            f"UPDATE {table} SET {column} = now() - $1::interval WHERE {where} = ANY($2)",  # noqa: S608
            timedelta(minutes=minutes),
            values,
        )


async def test_a_snapshot_is_written_with_the_first_result_of_its_frame(stored, maintenance):
    event = an_event()
    first = the_result(event, stored.model)
    (kept,) = await keep(stored, first)
    again = structs.replace(first, snapshot_key="snapshots/again.jpg")
    other = structs.replace(a_result(event, model=unique("other")), snapshot_key="snapshots/x.jpg")
    await commit_results(stored.records, [again])
    await commit_results(stored.records, [other])
    without = the_result(an_event(), stored.model)
    await commit_results(stored.records, [without])
    assert await maintenance.snapshot_keys([event.uuid, without.event.uuid]) == {
        event.uuid: kept.snapshot_key
    }


async def test_a_face_is_found_in_the_frame_of_the_face_that_stands_for_it(stored):
    (best,) = await keep(stored, the_result(an_event(), stored.model))
    shown = best.faces[0].match
    later = followed(the_result(an_event(), stored.model), shown)
    alone = the_result(an_event(), stored.model)
    await commit_results(stored.records, [later, alone])
    ids = [one.faces[0].match.face_id for one in (best, later, alone)]
    assert await stored.records.snapshots_of(ids) == dict.fromkeys(ids[:2], best.snapshot_key)


async def test_erasing_a_user_deletes_every_snapshot_with_the_user(
    stored, stores, visits, maintenance, camera
):
    user, other = await stored.a_user(), await stored.a_user()
    unknown = await stored.a_face()
    seen = the_result(an_event(camera), stored.model, user_id=user)
    carried = followed(the_result(an_event(camera), stored.model, user_id=user), unknown)
    in_visit = the_result(an_event(camera), stored.model)
    neighbour = the_result(an_event(camera), stored.model, user_id=other)
    shows_user = await keep(stored, seen, carried, in_visit)
    left = await keep(stored, neighbour)
    faces = [face_of(one.faces[0].match) for one in (seen, in_visit)]
    visit = a_visit(camera, faces, user_id=user, similarity=0.7)
    await visits.commit([a_change(camera, faces, visit)])
    receipt = await erase(stores, user, Author("test"))
    assert receipt.complete
    counts = {(one.store, one.what): one.removed for one in receipt.checks}
    assert counts["main", "snapshots"] == counts["s3", "snapshots"] == 3
    assert await rows_of(maintenance, [*shows_user, *left]) == [False, False, False, True]
    there = await stored.crops.existing(one.snapshot_key for one in [*shows_user, *left])
    assert there == {left[0].snapshot_key}


async def test_a_worker_forgets_the_frame_of_a_face_that_shows_an_erased_user(stored, maintenance):
    best, other = await keep(stored, *(the_result(an_event(), stored.model) for _ in range(2)))
    later = followed(the_result(an_event(), stored.model), best.faces[0].match)
    await commit_results(stored.records, [later])
    async with stored.records.claim([]) as claim:
        keys = await claim.forget_crops([later.faces[0].match.face_id])
    assert set(keys) == {best.faces[0].match.crop_key, best.snapshot_key}
    assert await rows_of(maintenance, [best, other]) == [False, True]


async def expire(prepared, before=None):
    async with MaintenanceStores.of(prepared).records as records:
        gone = set()
        while (found := await records.expire(Cutoffs(before, None, LIMIT))).total:
            gone |= found.elsewhere.snapshot_keys
        return gone


async def test_of_a_visit_that_is_over_only_the_frame_of_the_best_face_is_kept(
    prepared, stored, visits, maintenance, camera
):
    of = {
        name: await keep(stored, *(the_result(an_event(camera), stored.model) for _ in range(3)))
        for name in ("over", "open", "recent")
    }
    (alone,) = await keep(stored, the_result(an_event(camera), stored.model))
    in_visits = {}
    for name, results in of.items():
        faces = [face_of(one.faces[0].match) for one in results]
        visit = a_visit(camera, faces, best_face_id=faces[1].face_id)
        in_visits[name] = (visit if name == "open" else ended(visit), faces)
    everything = [one for results in of.values() for one in results]
    change = a_change(camera, visits=tuple(visit for visit, _ in in_visits.values()))
    places = [
        (face.face_id, visit.visit_id) for visit, of_it in in_visits.values() for face in of_it
    ]
    await visits.commit([structs.replace(change, faces=tuple(places))])
    await age(
        stored.records, "snapshots", "created_at", "event_uuid",
        [one.event.uuid for one in (*everything, alone)], 11,
    )  # fmt: skip
    old = [in_visits[name][0].visit_id for name in ("over", "open")]
    await age(stored.records, "visits", "changed_at", "visit_id", old, 11)
    assert (await maintenance.overdue(Cutoffs(None, None, LIMIT))).counts["snapshots"] == 2
    first, _, last = of["over"]
    assert await expire(prepared) == {first.snapshot_key, last.snapshot_key}
    assert await rows_of(maintenance, [*everything, alone]) == [False, True, False] + [True] * 7


async def test_the_frame_of_two_visits_is_kept_while_one_is_shown_by_it(
    prepared, stored, visits, maintenance, camera
):
    event = an_event(camera)
    both = a_result(event, 2, model=stored.model)
    alone = the_result(an_event(camera), stored.model)
    together, single = await keep(stored, both, alone)
    faces = [face_of(row.match) for one in (together, single) for row in one.faces]
    one = ended(a_visit(camera, faces[:1]))
    two = ended(a_visit(camera, faces[1:], best_face_id=faces[2].face_id))
    change = a_change(camera, faces[:1], one)
    places = [*change.faces, *((face.face_id, two.visit_id) for face in faces[1:])]
    await visits.commit([structs.replace(change, visits=(one, two), faces=tuple(places))])
    frames = [single.event.uuid, event.uuid]
    await age(stored.records, "snapshots", "created_at", "event_uuid", frames, 11)
    ids = [one.visit_id, two.visit_id]
    await age(stored.records, "visits", "changed_at", "visit_id", ids, 11)
    assert await expire(prepared) == set()
    assert await rows_of(maintenance, [together, single]) == [True, True]


async def test_snapshots_go_with_the_faces_that_are_too_old(prepared, stored, maintenance):
    old, young = await keep(stored, *(the_result(an_event(), stored.model) for _ in range(2)))
    days = 24 * 60
    await age(
        stored.records, "snapshots", "created_at", "event_uuid", [old.event.uuid], 4000 * days
    )
    assert await expire(prepared) == set()
    assert await expire(prepared, utc_now() - timedelta(days=3500)) == {old.snapshot_key}
    assert await rows_of(maintenance, [old, young]) == [False, True]
