"""What the visits agent writes is read back in order, and changed from the version read only."""

from uuid import uuid4

import pytest
from msgspec import structs

from domain.visit_events import FramePosition, VisitType
from sinks.main.visit_store import UsersErased, VersionConflict
from sinks.store_errors import StoreRejected
from tests.contract.builders import a_result, an_event, unique
from tests.contract.stored_visits import (
    a_change,
    a_message,
    a_partition,
    a_visit,
    at,
    ended,
    face_of,
    in_visit,
    stored_faces,
    with_face,
)
from tests.stored_records import commit_results, stored_user


@pytest.fixture
def camera():
    return unique("door")


async def a_user(records):
    return (await stored_user(records, f"{unique('u')}@example.org")).id


async def committed(records, visits, camera, seconds=(0, 1, 2), **changes):
    """An open visit at a camera, with a face a second."""
    faces = await stored_faces(records, camera, seconds)
    visit = a_visit(camera, faces)
    await visits.commit([a_change(camera, faces, visit, **changes)])
    return faces, visit


async def test_a_camera_that_no_commit_has_named_is_not_there(visits, camera):
    assert await visits.camera(camera) is None


async def test_what_is_committed_is_read_back(records, visits, camera):
    user = await a_user(records)
    faces = await stored_faces(records, camera, (0, 1, 2), user_id=user, track_id=uuid4())
    visit = a_visit(
        camera, faces, user_id=user, similarity=0.625, reason="identity", continues=uuid4(),
        crop_key="crops/0.jpg", revision=3, late=1,
    )  # fmt: skip
    await visits.commit([a_change(camera, faces, visit, partition=5)])
    stored = await visits.camera(camera)
    assert (stored.camera_id, stored.version, stored.partition) == (camera, 1, 5)
    assert (stored.clock, stored.checkpoint, stored.pending_messages) == (at(2), None, False)
    assert stored.faces == in_visit(faces, visit)
    assert stored.visits == (visit,)


async def test_faces_say_what_the_agent_decides_by(records, visits, camera):
    event = an_event(camera)
    odd = with_face(a_result(event), decision="unreliable", seen_at=at(30), user_id=None)
    (row,) = with_face(a_result(an_event(camera)), track_id=uuid4(), fresh=False).faces
    followed = a_result(an_event(camera))
    followed = structs.replace(
        followed,
        faces=(structs.replace(row, best_face_id=odd.faces[0].match.face_id),),
        event=structs.replace(followed.event, id=row.match.event_id),
    )
    await commit_results(records, [odd, followed])
    faces = [face_of(one.faces[0].match) for one in (followed, odd)]
    await visits.commit([a_change(camera, faces, a_visit(camera, faces))])
    first, second = [one.face for one in (await visits.camera(camera)).faces]
    assert (first.fresh, first.has_crop, first.reliable) == (False, False, True)
    assert (second.fresh, second.has_crop, second.reliable) == (True, True, False)
    assert second.at == at(30)
    assert [first, second] == faces


async def test_faces_come_in_the_order_of_time_frame_and_id(records, visits, camera):
    """Names of frames are compared as Python does it, whatever the collation of the database."""
    async with records._connection("test") as connection:
        assert await connection.fetch(
            "SELECT FROM information_schema.columns WHERE collation_name = 'C'"
            " AND (table_name, column_name) IN (('visit_faces', 'event_id'),"
            " ('visit_cameras', 'checkpoint_event'))"
        ) == [(), ()]  # fmt: skip
    results = []
    for second, name in ((1, "b"), (1, "B"), (1, "é"), (1, "a-1"), (1, "a0"), (0, "z"), (2, "A")):
        event = structs.replace(an_event(camera), id=f"{name}", captured_at=at(second))
        event = structs.replace(event, source=unique("//tests"))
        results.append(a_result(event, faces=2))
    await commit_results(records, results)
    faces = [face_of(row.match) for one in results for row in one.faces]
    visit = a_visit(camera, faces, started_at=at(0), last_seen_at=at(2))
    await visits.commit([a_change(camera, faces, visit)])
    ordered = sorted(faces, key=lambda face: (face.frame, face.face_id))
    assert (await visits.camera(camera)).faces == in_visit(ordered, visit)
    stored = await visits.camera(camera)
    for frame in {face.frame for face in faces}:
        stored = await visits.camera(camera)
        after = [face for face in ordered if face.frame > frame]
        await visits.commit(
            [a_change(camera, version=stored.version, clock=at(2), checkpoint=b"{}",
                      checkpoint_after=frame)]
        )  # fmt: skip
        assert (await visits.camera(camera)).faces == in_visit(after, visit)


async def test_known_faces_are_those_in_visits(records, visits, camera):
    faces, _ = await committed(records, visits, camera)
    assert await visits.known([faces[0].face_id, faces[2].face_id, uuid4()]) == {
        faces[0].face_id, faces[2].face_id,
    }  # fmt: skip
    assert await visits.known([]) == set()


async def test_a_checkpoint_stays_until_the_next_one(records, visits, camera):
    faces, visit = await committed(
        records, visits, camera, (0, 1, 2, 3),
        checkpoint=b'{"some":"state"}', checkpoint_after=FramePosition(at(1), "\U0010ffff"),
    )  # fmt: skip
    for version in (1, 2):
        stored = await visits.camera(camera)
        assert (stored.version, stored.checkpoint) == (version, b'{"some":"state"}')
        assert stored.faces == in_visit(faces[2:], visit)
        await visits.commit([a_change(camera, version=version, clock=at(3))])
    await visits.commit(
        [a_change(camera, version=3, clock=at(3), checkpoint=b"\x00\xff",
                  checkpoint_after=faces[2].frame)]
    )  # fmt: skip
    stored = await visits.camera(camera)
    assert (stored.checkpoint, stored.faces) == (b"\x00\xff", in_visit(faces[3:], visit))


async def test_without_a_checkpoint_the_last_hour_is_read(records, visits, camera):
    faces = await stored_faces(records, camera, (0, 1, 3601, 9000))
    visit = a_visit(camera, faces)
    await visits.commit([a_change(camera, faces, visit, clock=at(3601))])
    # The last one is of a clock that was set back since.
    assert (await visits.camera(camera)).faces == in_visit(faces[1:3], visit)


async def test_of_very_many_faces_the_oldest_are_left_out(records, visits, camera, monkeypatch):
    monkeypatch.setattr("sinks.main.visits.stored_cameras.MOST_FACES", 3)
    faces, visit = await committed(records, visits, camera, range(5))
    assert (await visits.camera(camera)).faces == in_visit(faces[2:], visit)
    await visits.commit(
        [a_change(camera, version=1, clock=at(4), checkpoint=b"{}",
                  checkpoint_after=faces[0].frame)]
    )  # fmt: skip
    assert (await visits.camera(camera)).faces == in_visit(faces[1:], visit), "after it, all are"


async def test_visits_of_faces_that_are_not_over_or_were_over_last_are_read(
    records, visits, camera
):
    faces = await stored_faces(records, camera, (0, 100, 3000, 3500, 4000, 9000))
    long_ago, half_ago, lately, of_a_face, now, future = (
        a_visit(camera, [face], crop_key="crops/0.jpg") for face in faces
    )
    open_since = ended(long_ago, visit_id=uuid4())
    stored = [
        ended(long_ago),
        structs.replace(half_ago, revision=0, state="pending", announced_at=None),
        ended(lately),
        ended(of_a_face),
        now,
        ended(future),
        open_since,
    ]
    change = a_change(camera, visits=tuple(stored), clock=at(4000))
    change = structs.replace(change, faces=((faces[2].face_id, stored[2].visit_id),))
    await visits.commit([change])
    read = (await visits.camera(camera)).visits
    assert read == (stored[1], stored[2], stored[3], stored[4])


async def test_cameras_of_partitions_are_those_that_are_not_over_for_good(records, visits):
    ours, other = a_partition(), a_partition()
    changes, expected = [], set()
    for name, partition, live in (
        ("open", ours, True), ("pending", ours, True), ("lately", ours, True),
        ("message", ours, True), ("over", ours, False), ("empty", ours, False),
        ("open", other, False),
    ):  # fmt: skip
        camera = unique(name)
        faces = await stored_faces(records, camera, (0,))
        visit = a_visit(camera, faces)
        states = {
            "open": visit,
            "pending": structs.replace(visit, state="pending", revision=0),
            "empty": None,
        }
        visit = states.get(name, ended(visit))
        clock = at(600 if name == "lately" else 601)
        change = a_change(camera, faces, visit, partition=partition, clock=clock)
        if name == "message":
            change = structs.replace(change, messages=(a_message(visit),))
        changes.append(change)
        expected |= {camera} if live else set()
    await visits.commit(changes)
    found = await visits.cameras([ours])
    assert {one.camera_id for one in found} == expected
    assert [one.camera_id for one in found] == sorted(expected)
    assert {one.camera_id for one in found if one.pending_messages} == {
        one for one in expected if one.startswith("message")
    }
    assert found == [await visits.camera(one.camera_id) for one in found]
    assert len(await visits.cameras([ours, other])) == len(expected) + 1
    assert await visits.cameras([a_partition()]) == await visits.cameras([]) == []


async def test_a_change_from_another_version_is_refused_whole(records, visits, camera):
    neighbour = unique("door")
    _faces, visit = await committed(records, visits, camera)
    late_faces = await stored_faces(records, neighbour, (0,))
    fine = a_change(neighbour, late_faces, a_visit(neighbour, late_faces))
    for version in (0, 2):
        wrong = a_change(camera, version=version, visits=(ended(visit),), clock=at(9))
        with pytest.raises(VersionConflict) as caught:
            await visits.commit([wrong, fine])
        assert caught.value.camera_ids == {camera}
    assert await visits.camera(neighbour) is None
    stored = await visits.camera(camera)
    assert (stored.version, stored.clock) == (1, at(2))
    assert await visits.known([late_faces[0].face_id]) == set()


async def test_a_change_of_a_camera_whose_row_is_gone_is_refused(visits, camera):
    with pytest.raises(VersionConflict):
        await visits.commit([a_change(camera, version=7)])
    assert await visits.camera(camera) is None


async def test_users_who_are_gone_are_reported_and_nothing_is_written(records, visits, camera):
    user, gone, also_gone = await a_user(records), uuid4(), uuid4()
    faces = await stored_faces(records, camera, (0, 1))
    visit = a_visit(camera, faces, user_id=user)
    other = structs.replace(visit, visit_id=uuid4(), user_id=gone)
    message = a_message(structs.replace(visit, user_id=also_gone))
    change = structs.replace(
        a_change(camera, faces, visit), visits=(visit, other), messages=(message,)
    )
    with pytest.raises(UsersErased) as caught:
        await visits.commit([change])
    assert caught.value.users == {gone, also_gone}
    assert await visits.camera(camera) is None
    assert await visits.known([faces[0].face_id]) == set()


async def test_faces_without_a_row_are_left_out(records, visits, camera):
    faces = await stored_faces(records, camera, (0, 1))
    gone = structs.replace(faces[0], face_id=uuid4())
    visit = a_visit(camera, [gone, *faces])
    await visits.commit([a_change(camera, [gone, *faces], visit)])
    stored = await visits.camera(camera)
    assert stored.faces == in_visit(faces, visit)
    assert stored.visits == (structs.replace(visit, best_face_id=None),)


async def test_faces_change_their_visit_and_leave_it(records, visits, camera):
    faces, visit = await committed(records, visits, camera)
    other = a_visit(camera, faces[1:])
    moved = ((faces[1].face_id, other.visit_id), (faces[2].face_id, None))
    await visits.commit(
        [structs.replace(a_change(camera, version=1, clock=at(2)), visits=(other,), faces=moved)]
    )
    stored = await visits.camera(camera)
    assert stored.faces == (*in_visit(faces[:1], visit), *in_visit(faces[1:2], other))
    assert await visits.known([face.face_id for face in faces]) == {
        faces[0].face_id, faces[1].face_id,
    }  # fmt: skip


async def test_late_faces_are_known_and_not_read(records, visits, camera):
    faces = await stored_faces(records, camera, (0, 1, 2))
    visit = a_visit(camera, faces, late=1)
    await visits.commit([a_change(camera, faces, visit, late=frozenset({faces[1].face_id}))])
    assert (await visits.camera(camera)).faces == in_visit([faces[0], faces[2]], visit)
    assert len(await visits.known([face.face_id for face in faces])) == 3


async def test_all_faces_of_merged_visits_move_late_ones_too(records, visits, camera):
    faces = await stored_faces(records, camera, (0, 1, 2, 3))
    first, second, third = (a_visit(camera, faces[index:]) for index in (0, 1, 2))
    change = a_change(camera, visits=(first, second, third), clock=at(3))
    places = ((faces[0].face_id, first.visit_id), (faces[1].face_id, second.visit_id),
              (faces[2].face_id, third.visit_id), (faces[3].face_id, second.visit_id))  # fmt: skip
    await visits.commit([structs.replace(change, faces=places, late=frozenset({faces[3].face_id}))])
    merged = ((third.visit_id, second.visit_id), (second.visit_id, first.visit_id))
    await visits.commit([a_change(camera, version=1, clock=at(3), merged=merged)])
    stored = await visits.camera(camera)
    assert stored.faces == in_visit(faces[:3], first)
    assert stored.visits[0] == structs.replace(first, crop_key="crops/0.jpg", faces=5, late=1)
    assert [(one.state, one.reason, one.ended_at) for one in stored.visits[1:]] == [
        ("ended", "merged", at(3))
    ] * 2
    async with records._connection("test") as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM visit_faces WHERE visit_id = $1 AND late", first.visit_id
        ) == 1  # fmt: skip


async def test_messages_stay_until_they_are_sent_in_order(records, visits, camera):
    neighbour = unique("door")
    _faces, visit = await committed(records, visits, camera)
    visit = structs.replace(visit, crop_key="crops/0.jpg")
    second = structs.replace(visit, revision=2, similarity=None, reason="best_face")
    messages = (
        a_message(second, VisitType.UPDATED),
        a_message(visit),
        a_message(ended(visit, revision=3), VisitType.ENDED),
    )
    await visits.commit([a_change(camera, version=1, clock=at(2), messages=messages)])
    assert (await visits.camera(camera)).pending_messages
    assert await visits.unsent([camera, neighbour]) == list(messages)
    assert await visits.unsent([neighbour]) == await visits.unsent([]) == []
    await visits.sent([messages[1], a_message(structs.replace(visit, visit_id=uuid4()))])
    await visits.sent([])
    assert await visits.unsent([camera]) == [messages[0], messages[2]]
    await visits.sent(messages)
    assert await visits.unsent([camera]) == []
    assert not (await visits.camera(camera)).pending_messages


async def test_messages_name_the_user_as_long_as_there_is_one(records, visits, camera):
    user = await a_user(records)
    faces = await stored_faces(records, camera, (0,))
    visit = a_visit(camera, faces, user_id=user, similarity=0.75, crop_key="crops/0.jpg")
    await visits.commit([a_change(camera, faces, visit, messages=(a_message(visit),))])
    assert await visits.unsent([camera]) == [a_message(visit)]
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM users WHERE id = $1", user)
        await connection.execute("UPDATE faces SET crop_key = NULL WHERE camera_id = $1", camera)
    unknown = structs.replace(visit, user_id=None, similarity=None, crop_key=None)
    assert await visits.unsent([camera]) == [a_message(unknown)]
    assert (await visits.camera(camera)).visits == (unknown,)


async def test_a_face_that_is_deleted_leaves_its_visit(records, visits, camera):
    faces, visit = await committed(records, visits, camera)
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM faces WHERE id = $1", faces[0].face_id)
    stored = await visits.camera(camera)
    assert stored.faces == in_visit(faces[1:], visit)
    assert stored.visits == (structs.replace(visit, best_face_id=None),)


async def test_a_late_face_belongs_to_the_visit_of_its_track_or_else_of_its_user(
    records, visits, camera
):
    user, track = await a_user(records), uuid4()
    tracked = await stored_faces(records, camera, (0, 1), track_id=track)
    seen = await stored_faces(records, camera, (40, 60), user_id=user)
    again = await stored_faces(records, camera, (50, 70), user_id=user)
    by_track, by_user, newer = (
        a_visit(camera, tracked),
        ended(a_visit(camera, seen, user_id=user)),
        a_visit(camera, again, user_id=user),
    )
    places = tuple(
        (face.face_id, visit.visit_id)
        for faces, visit in ((tracked, by_track), (seen, by_user), (again, newer))
        for face in faces
    )
    change = a_change(camera, visits=(by_track, by_user, newer), clock=at(70))
    await visits.commit([structs.replace(change, faces=places)])

    def a_face(second, **changes):
        (row,) = a_result(an_event(camera)).faces
        return face_of(row.match, at=at(second), **changes)

    for face, visit in (
        (a_face(2, track_id=track), by_track),
        (a_face(20, track_id=track, user_id=user), by_track),
        (a_face(30.5, track_id=track), by_track),
        (a_face(32, track_id=track), None),
        (a_face(12, user_id=user), by_user),
        (a_face(9, user_id=user), None),
        (a_face(20, user_id=user), newer),
        (a_face(95, user_id=user), newer),
        (a_face(101, user_id=user), None),
        (a_face(60, user_id=uuid4()), None),
        (a_face(60), None),
        (a_face(60, track_id=uuid4()), None),
        (a_face(70, user_id=user, event_id=again[1].event_id), by_user),
    ):
        expected = visit and visit.visit_id
        assert await visits.late_visit(camera, face) == expected, face
        assert await visits.late_visit(unique("door"), face) is None


async def test_only_announced_visits_take_late_faces(records, visits, camera):
    user = await a_user(records)
    faces = await stored_faces(records, camera, (0, 1), user_id=user)
    pending = a_visit(camera, faces, user_id=user, revision=0, state="pending")
    gone = ended(a_visit(camera, faces[1:], user_id=user), reason="merged")
    change = a_change(camera, visits=(pending, gone), clock=at(1))
    await visits.commit([change])
    late = face_of(a_result(an_event(camera), user_id=user).faces[0].match)
    assert await visits.late_visit(camera, late) is None
    shown = structs.replace(pending, revision=1, state="open")
    await visits.commit([structs.replace(change, visits=(shown,), version=1)])
    assert await visits.late_visit(camera, late) == pending.visit_id


async def test_late_faces_are_counted_once(records, visits, camera):
    faces, visit = await committed(records, visits, camera)
    late = await stored_faces(records, camera, (0.5, 1.5, 2.5))
    pairs = [(face.face_id, visit.visit_id) for face in late]
    gone = (uuid4(), visit.visit_id)
    nowhere = (late[2].face_id, uuid4())
    assert await visits.add_late([]) == set()
    assert await visits.add_late([*pairs[:2], gone, nowhere]) == {one[0] for one in pairs[:2]}
    assert await visits.add_late(pairs) == {late[2].face_id}
    assert await visits.add_late([(faces[0].face_id, visit.visit_id)]) == set()
    stored = await visits.camera(camera)
    assert stored.version == 1
    assert stored.faces == in_visit(faces, visit)
    assert [(one.faces, one.late) for one in stored.visits] == [(6, 3)]
    assert await visits.known([face.face_id for face in late]) == {one.face_id for one in late}


async def test_a_visit_that_goes_on_keeps_the_late_faces_that_were_added_to_it(
    records, visits, camera
):
    """The worker that writes it again does not know of them."""
    faces, visit = await committed(records, visits, camera)
    added = await stored_faces(records, camera, (0.5, 1.5))
    await visits.add_late([(face.face_id, visit.visit_id) for face in added])
    more = await stored_faces(records, camera, (0.7, 3))
    places = tuple((face.face_id, visit.visit_id) for face in more)
    known = structs.replace(visit, faces=len(faces) + 2, late=1, last_seen_at=at(3))
    change = a_change(camera, version=1, clock=at(3), visits=(known,), late={more[0].face_id})
    await visits.commit([structs.replace(change, faces=places)])
    (stored,) = (await visits.camera(camera)).visits
    assert (stored.faces, stored.late) == (len(faces) + 4, 3)


@pytest.mark.parametrize("bad", ["nul \0 byte", "lone \ud800 surrogate"])
async def test_text_that_postgres_cannot_store_is_rejected(records, visits, camera, bad):
    faces = await stored_faces(records, camera, (0,))
    visit = a_visit(camera, faces)
    for change in (a_change(bad), a_change(camera, visits=(structs.replace(visit, reason=bad),))):
        with pytest.raises(StoreRejected):
            await visits.commit([change])
    assert await visits.camera(camera) is None


async def test_an_empty_commit_does_nothing(visits):
    await visits.commit([])
