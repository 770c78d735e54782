"""Visits, and what is kept for them, when users are erased and when faces are too old."""

from datetime import timedelta

import pytest
from msgspec import structs

from domain.events import utc_now
from domain.personal_data import Cutoffs, DataSubject
from sinks.main.main_maintenance import MainMaintenance
from tests.contract.builders import unique
from tests.contract.stored_visits import (
    a_change,
    a_message,
    a_visit,
    ended,
    in_visit,
    stored_faces,
)
from tests.stored_records import stored_user

OLD, EDGE, LIMIT = timedelta(days=4000), timedelta(days=3500), 5


@pytest.fixture
def camera():
    return unique("door")


@pytest.fixture
async def maintenance(prepared):
    async with MainMaintenance(prepared.main_db) as store:
        yield store


@pytest.fixture(autouse=True)
async def nothing_old_is_left(maintenance):
    """Other modules count, and plant, what is old."""
    edge = utc_now() - EDGE
    await expire(maintenance, Cutoffs(edge, edge, LIMIT))
    yield
    await expire(maintenance, Cutoffs(edge, edge, LIMIT))


async def expire(store, before):
    """As the retention does it: batch after batch, until nothing is left; how many went."""
    gone = {}
    rows = await store.expire(before)
    while rows.total:
        gone = {what: gone.get(what, 0) + number for what, number in rows.counts.items()}
        rows = await store.expire(before)
    return {what: number for what, number in gone.items() if number}


async def age(records, table, column, where, values):
    async with records._connection("test") as connection:
        await connection.execute(
            f"UPDATE {table} SET {column} = $1 WHERE {where} = ANY($2)",  # noqa: S608
            utc_now() - OLD,
            values,
        )


async def exists(records, table, key, value):
    async with records._connection("test") as connection:
        return await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} WHERE {key} = $1)",  # noqa: S608
            value,
        )


async def a_user(records):
    return (await stored_user(records, f"{unique('u')}@example.org")).id


async def test_visits_go_when_all_their_faces_are_too_old(records, visits, maintenance, camera):
    faces = await stored_faces(records, camera, range(18))
    old = ended(a_visit(camera, faces[:12]))
    half = ended(a_visit(camera, faces[12:14]))
    empty = ended(a_visit(camera, faces[14:15]), reason="merged")
    fresh, open_ = ended(a_visit(camera, faces[15:16])), a_visit(camera, faces[16:])
    every = (old, half, empty, fresh, open_)
    places = [
        (face.face_id, visit.visit_id)
        for visit, of_it in ((old, faces[:12]), (half, faces[12:14]), (fresh, faces[15:16]),
                             (open_, faces[16:]))
        for face in of_it
    ]  # fmt: skip
    change = a_change(camera, visits=every, clock=faces[-1].at)
    await visits.commit([structs.replace(change, faces=tuple(places))])
    aged = [face.face_id for face in (*faces[:13], *faces[16:])]
    await age(records, "faces", "created_at", "id", aged)
    await age(
        records, "visits", "created_at", "visit_id",
        [visit.visit_id for visit in every if visit is not fresh],
    )  # fmt: skip
    before = Cutoffs(utc_now() - EDGE, None, LIMIT)
    expected = {"sightings": 15, "visits": 3}
    overdue = (await maintenance.overdue(before)).counts
    assert {what: number for what, number in overdue.items() if number} == expected
    assert await expire(maintenance, Cutoffs(None, utc_now() - EDGE, LIMIT)) == {}
    assert await expire(maintenance, before) == expected
    left = await visits.camera(camera)
    assert {one.visit_id for one in left.visits} == {half.visit_id, fresh.visit_id}
    assert left.faces == (*in_visit(faces[13:14], half), *in_visit(faces[15:16], fresh))
    assert await visits.known(aged) == set()


async def test_what_a_camera_saw_last_goes_with_the_sightings(records, visits, maintenance):
    """Its messages and its checkpoint; where it stands is kept as long as the ledger is."""
    cameras = [unique("door") for _ in range(3)]
    for camera in cameras:
        faces = await stored_faces(records, camera, (0, 1))
        visit = ended(a_visit(camera, faces))
        change = a_change(
            camera, faces, visit, checkpoint=b"{}", checkpoint_after=faces[0].frame,
            messages=(a_message(visit),),
        )  # fmt: skip
        await visits.commit([change])
    silent, busy, unsent = cameras
    await age(records, "visit_cameras", "updated_at", "camera_id", [silent, unsent])
    ledger = Cutoffs(None, utc_now() - EDGE, LIMIT)
    assert await expire(maintenance, ledger) == {}, "messages may still be sent"
    await maintenance.expire(Cutoffs(utc_now() - EDGE, None, LIMIT))
    for camera in (silent, unsent):
        stored = await visits.camera(camera)
        assert (stored.checkpoint, stored.pending_messages, len(stored.faces)) == (None, False, 2)
    assert (await visits.camera(busy)).checkpoint == b"{}"
    assert len(await visits.unsent(cameras)) == 1
    open_again = structs.replace(a_visit(unsent, faces), ended_at=None)
    await visits.commit([a_change(unsent, version=1, visits=(open_again,))])
    await age(records, "visit_cameras", "updated_at", "camera_id", [unsent])
    assert (await maintenance.overdue(ledger)).counts["cameras of visits"] == 1
    assert await expire(maintenance, ledger) == {"cameras of visits": 1}
    assert [await exists(records, "visit_cameras", "camera_id", one) for one in cameras] == [
        False, True, True,
    ]  # fmt: skip


async def test_the_visits_of_an_erased_user_are_an_unknowns_without_a_crop(records, visits, camera):
    user, other = [await a_user(records) for _ in range(2)]
    faces = [
        (await stored_faces(records, camera, (second,), user_id=one))[0]
        for second, one in enumerate((user, None, other, other))
    ]
    theirs = a_visit(camera, faces, user_id=user, similarity=0.75, best_face_id=faces[3].face_id)
    neighbours = a_visit(camera, faces[1:], user_id=other, similarity=0.5, best_face_id=None)
    change = a_change(
        camera, faces, theirs, messages=(a_message(theirs), a_message(neighbours)),
    )  # fmt: skip
    await visits.commit([structs.replace(change, visits=(theirs, neighbours))])
    await records.erase(DataSubject(user))
    stored = await visits.camera(camera)
    unknown = structs.replace(theirs, user_id=None, similarity=None)
    assert stored.visits == (unknown, neighbours)
    assert [(one.face.user_id, one.face.has_crop) for one in stored.faces] == [
        (None, False), (None, False), (other, True), (other, False),
    ]  # fmt: skip
    assert {one.visit_id for one in stored.faces} == {theirs.visit_id}
    assert [one.visit for one in await visits.unsent([camera])] == [unknown, neighbours]
    async with records._connection("test") as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM visits WHERE camera_id = $1 AND similarity IS NOT NULL", camera
        ) == 1  # fmt: skip
        assert await connection.fetchval(
            "SELECT count(*) FROM visit_messages"
            " WHERE camera_id = $1 AND body->>'similarity' IS NOT NULL", camera
        ) == 1  # fmt: skip


async def test_the_visits_of_a_deactivated_user_stay_as_they_are(records, visits, camera):
    user = await a_user(records)
    faces = await stored_faces(records, camera, (0, 1), user_id=user)
    visit = a_visit(camera, faces, user_id=user, similarity=0.75)
    await visits.commit([a_change(camera, faces, visit)])
    before = await visits.camera(camera)
    async with records._connection("test") as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", user)
    assert await visits.camera(camera) == before
    await visits.commit([a_change(camera, version=1, visits=(visit,))])
    assert (await visits.camera(camera)).visits == before.visits
