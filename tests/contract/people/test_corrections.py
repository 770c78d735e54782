"""Corrections on the real stores: labels, vetoes, messages; and an undo that leaves no trace."""

import asyncio
import json
from itertools import pairwise
from uuid import uuid4

import asyncpg
import numpy as np
import pytest
from msgspec import UNSET, structs

from agents.vetoes import VetoWatch
from domain.decisions.corrections import CorrectionError
from services.erasure import erase, look_for
from sinks.cache.recent_matches import Recents
from tests.contract.builders import NOON, an_event, unique
from tests.contract.people.corrected_people import (
    IS,
    ME,
    MERGE,
    NOT,
    OUT,
    SPLIT,
    a_photo,
    a_sighting,
    a_stored_visit,
    active_vetoes,
    announced,
    face,
    follow,
    gallery,
    request,
    row,
)
from tests.contract.stored_people import followed, the_result
from tests.contract.stored_visits import a_change
from tests.stored_records import commit_results


async def test_not_x_of_a_face(world):
    user = await world.stored.a_user()
    seen = await a_sighting(world, user)
    made = await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    now = await face(world, seen.face_id)
    assert (now.user_id, now.decision, now.linked) == (None, "vetoed", None)
    assert now.similarity == seen.similarity
    assert await active_vetoes(world) == {(seen.face_id, user)}
    (change,) = await announced(world)
    assert (change.type, change.user_id, change.other_user_id, change.face_ids) == (
        "fecapass.face.corrected", None, user, (seen.face_id,),
    )  # fmt: skip
    assert change.change_id == change.correction_id == made.id
    await follow(world)
    ((name, told),) = world.broker.matches()
    assert name == f"{seen.face_id}/{made.id}"
    assert (told.supersedes, told.user_id, told.decision) == (str(seen.face_id), None, "vetoed")
    noted = await row(world, "SELECT * FROM audit WHERE detail->>'correction' = $1", str(made.id))
    assert (noted["actor"], noted["action"], noted["request_id"]) == (
        "cli:test", "correction.not_user", "request-1",
    )  # fmt: skip


async def listed(world, seen):
    """What the latest matches say of a face, of all cameras and of its own."""
    recents = world.stores.recents
    own = await recents.recent(1000, seen.camera_id)
    everywhere = await recents.recent(1000)
    assert own == [one for one in everywhere if one.camera_id == seen.camera_id]
    return [(one.user_id, one.decision, one.correction_id) for one in own]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "by a follow worker"])
async def test_the_latest_matches_say_what_a_correction_says(world, late):
    user = await world.stored.a_user()
    seen = await a_sighting(world, user, camera=unique("door"), seconds=10**9)
    other = await a_sighting(world, user, camera=seen.camera_id, seconds=10**9 - 1)
    await world.stores.recents.remember_matches([seen, other])
    if late:
        world.corrections._follow = lambda _correction: asyncio.sleep(0)
    made = await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    if late:
        await follow(world)
    assert await listed(world, seen) == [(None, "vetoed", made.id), (user, "matched", UNSET)]
    undone = await world.corrections.undo(made.id, ME)
    if late:
        await follow(world)
    assert await listed(world, seen) == [(user, "matched", undone.id), (user, "matched", UNSET)]


async def test_the_latest_matches_of_a_merged_user_are_those_of_who_is_left(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    seen = await a_sighting(world, gone, camera=unique("door"), seconds=10**9)
    await world.stores.recents.remember_matches([seen])
    made = await world.corrections.make(request(MERGE, kept, other_user_id=gone))
    assert await listed(world, seen) == [(kept, "matched", made.id)]
    await erase(world.stores, kept, ME)
    await world.stores.recents.relabel_matches([seen.camera_id], {seen.face_id: {"user_id": kept}})
    assert await listed(world, seen) == []


async def test_a_correction_needs_no_cache(world, nowhere):
    user = await world.stored.a_user()
    seen = await a_sighting(world, user)
    async with Recents(nowhere.redis) as unavailable:
        world.corrections._recents = unavailable
        await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    assert (await face(world, seen.face_id)).linked is None


async def test_an_undo_of_not_x(world):
    user = await world.stored.a_user()
    seen = await a_sighting(world, user)
    before = await face(world, seen.face_id)
    made = await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    undone = await world.corrections.undo(made.id, ME)
    now = await face(world, seen.face_id)
    assert (now.user_id, now.decision, now.linked, now.similarity) == (
        before.user_id, before.decision, before.linked, before.similarity,
    )  # fmt: skip
    assert await active_vetoes(world) == set()
    assert [(one.undoes, one.user_id) for one in await announced(world)] == [
        (None, None), (made.id, user),
    ]  # fmt: skip
    await follow(world)
    ((name, told),) = world.broker.matches()  # one message tells the face as it is now
    assert (name, told.supersedes) == (
        f"{seen.face_id}/{undone.id}", f"{seen.face_id}/{made.id}",
    )  # fmt: skip
    with pytest.raises(CorrectionError, match="undone before"):
        await world.corrections.undo(made.id, ME)
    with pytest.raises(CorrectionError, match="this is an undo"):
        await world.corrections.undo(undone.id, ME)
    assert (await world.corrections.find(made.id)).undone_by == undone.id


async def test_is_y_of_a_face_that_was_taken_for_x(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    seen = await a_sighting(world, x)
    denied = await world.corrections.make(request(NOT, y, face_id=seen.face_id))
    assert await active_vetoes(world) == {(seen.face_id, y)}
    made = await world.corrections.make(request(IS, y, face_id=seen.face_id))
    now = await face(world, seen.face_id)
    assert (now.user_id, now.decision, now.linked, now.similarity) == (y, "matched", y, None)
    assert await active_vetoes(world) == {(seen.face_id, x)}  # and no more that it is not Y
    assert (made.user_id, made.other_user_id) == (y, x)
    await world.corrections.undo(made.id, ME)
    assert (await face(world, seen.face_id)).user_id == x
    assert await active_vetoes(world) == {(seen.face_id, y)}
    await world.corrections.undo(denied.id, ME)
    assert await active_vetoes(world) == set()


async def test_what_a_later_correction_says_stays_when_an_earlier_one_is_undone(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    seen = await a_sighting(world, x)
    first = await world.corrections.make(request(NOT, x, face_id=seen.face_id))
    await world.corrections.make(request(IS, y, face_id=seen.face_id))
    await world.corrections.undo(first.id, ME)
    assert (await face(world, seen.face_id)).user_id == y


async def test_not_x_of_a_visit(world):
    x = await world.stored.a_user()
    camera = unique("door")
    seen = [await a_sighting(world, x, camera=camera, seconds=n) for n in range(3)]
    other = await a_sighting(world, None, camera=camera, seconds=4)
    poor = await a_sighting(world, None, camera=camera, seconds=5, decision="unreliable")
    visit = await a_stored_visit(world, x, [*seen, other, poor])
    before = await world.visits.camera(camera)
    made = await world.corrections.make(request(NOT, x, visit_id=visit.visit_id))
    for one in seen:
        assert (await face(world, one.face_id)).user_id is None
    vetoed = {one.face_id for one in [*seen, other]}
    assert await active_vetoes(world) == {(face_id, x) for face_id in vetoed}
    after = await world.visits.camera(camera)
    assert (after.version, after.checkpoint, after.pending_messages) == (
        before.version + 1, None, True,
    )  # fmt: skip
    (now,) = after.visits
    assert (now.user_id, now.revision, now.reason, now.correction_id, now.state) == (
        None, visit.revision + 1, "corrected", made.id, visit.state,
    )  # fmt: skip
    (message,) = await world.visits.unsent([camera])
    assert message.type == "fecapass.visit.updated"
    assert message.visit.supersedes == f"{visit.visit_id}/{visit.revision}"
    assert message.visit.user_id is None
    (change,) = await announced(world)
    assert change.visit_ids == (visit.visit_id,)
    await world.corrections.undo(made.id, ME)
    (now,) = (await world.visits.camera(camera)).visits
    assert (now.user_id, now.similarity, now.correction_id) == (x, 0.8, None)
    assert now.revision == visit.revision + 2
    assert await active_vetoes(world) == set()


async def test_is_y_of_a_visit_is_what_the_visit_stays(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    camera = unique("door")
    seen = [await a_sighting(world, x, camera=camera, seconds=n) for n in range(2)]
    visit = await a_stored_visit(world, x, seen, is_ended=False)
    made = await world.corrections.make(request(IS, y, visit_id=visit.visit_id))
    (now,) = (await world.visits.camera(camera)).visits
    assert (now.user_id, now.similarity, now.correction_id) == (y, None, made.id)
    # A worker that commits what it decides does not change what the person has said of the row.
    stored = await world.visits.camera(camera)
    await world.visits.commit(
        [a_change(camera, [], structs.replace(now, faces=9), version=stored.version)]
    )
    (now,) = (await world.visits.camera(camera)).visits
    assert (now.user_id, now.correction_id, now.faces) == (y, made.id, 9)


async def test_a_visit_at_a_camera_without_a_worker_is_announced_too(world):
    x = await world.stored.a_user()
    seen = await a_sighting(world, x, camera=unique("door"))
    visit = await a_stored_visit(world, x, [seen])
    async with world.stored.records._connection("test") as connection:
        await connection.execute("DELETE FROM visit_cameras WHERE camera_id = $1", seen.camera_id)
    await world.corrections.make(request(NOT, x, visit_id=visit.visit_id))
    await follow(world)
    assert seen.camera_id in world.sent_visits


@pytest.mark.parametrize("photos", [(1, 1), (3, 2), (0, 2), (2, 0)], ids=str)
async def test_a_merge_and_its_undo_leave_the_gallery_as_it_was(world, photos):
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    for user, number in zip((kept, merged), photos, strict=True):
        for _ in range(number):
            await a_photo(world, user)
    seen = await a_sighting(world, merged, camera=unique("door"))
    visit = await a_stored_visit(world, merged, [seen])
    before = await gallery(world)
    made = await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    during = await gallery(world)
    assert merged.hex not in during
    assert (kept.hex in during) == any(photos)
    assert (await face(world, seen.face_id)).user_id == kept
    assert (await face(world, seen.face_id)).linked == kept
    assert (await world.stored.records.user(merged)).is_active is False
    (now,) = (await world.visits.camera(seen.camera_id)).visits
    assert now.user_id == kept
    await follow(world)
    assert await gallery(world) == during
    assert world.broker.sent == []  # people.changes says it for all faces at once
    await world.corrections.undo(made.id, ME)
    assert await gallery(world) == before
    assert (await face(world, seen.face_id)).user_id == merged
    (now,) = (await world.visits.camera(seen.camera_id)).visits
    assert now.user_id == merged
    assert (await world.stored.records.user(merged)).is_active is True
    kinds = [(one.type, one.user_id, one.other_user_id) for one in await announced(world)]
    assert kinds == [("fecapass.user.merged", kept, merged)] * 2
    assert visit.visit_id == now.visit_id


async def test_the_mean_of_a_merge_is_that_of_all_photos(world):
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    faces = [await a_photo(world, user) for user in (kept, kept, merged)]
    await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    async with world.stored.vectors._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT vector_send(embedding) AS data FROM face_embeddings WHERE face_id = ANY($1)",
            faces,
        )
    vectors = [np.frombuffer(one["data"][4:], ">f4").astype(np.float64) for one in rows]
    mean = np.mean(vectors, axis=0)
    fused = np.frombuffer((await gallery(world))[kept.hex], np.float32)
    assert np.allclose(fused, mean / np.linalg.norm(mean), atol=1e-6)


async def test_vetoes_of_both_count_for_who_is_left(world):
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    theirs = await a_sighting(world, kept)
    someone = await a_sighting(world, merged)
    await world.corrections.make(request(IS, merged, face_id=theirs.face_id))  # so it is not kept's
    await world.corrections.make(request(NOT, merged, face_id=someone.face_id))
    made = await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    now = await active_vetoes(world)
    assert (someone.face_id, kept) in now
    assert (theirs.face_id, kept) not in now
    await world.corrections.undo(made.id, ME)
    assert await active_vetoes(world) == {(theirs.face_id, kept), (someone.face_id, merged)}


@pytest.mark.parametrize("kind", [MERGE, SPLIT])
async def test_a_user_is_not_corrected_with_itself(world, kind):
    user = await world.stored.a_user()
    photo = await a_photo(world, user)
    faces = {"face_ids": (photo,)} if kind is SPLIT else {}
    with pytest.raises(CorrectionError, match="same user"):
        await world.corrections.make(request(kind, user, other_user_id=user, **faces))


async def test_a_merged_user_is_not_corrected_any_more(world):
    kept, merged, third = [await world.stored.a_user() for _ in range(3)]
    await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    for user, other in ((third, merged), (merged, third)):
        with pytest.raises(CorrectionError, match="was merged"):
            await world.corrections.make(request(MERGE, user, other_user_id=other))


async def test_photos_are_split_off_and_given_back(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    first, second = [await a_photo(world, x) for _ in range(2)]
    before = await gallery(world)
    made = await world.corrections.make(request(SPLIT, x, other_user_id=y, face_ids=(second,)))
    during = await gallery(world)
    assert during[x.hex] != before[x.hex]
    assert y.hex in during
    assert (await face(world, second)).user_id == y
    assert (await face(world, first)).user_id == x
    await follow(world)
    assert await gallery(world) == during
    await world.corrections.undo(made.id, ME)
    assert await gallery(world) == before
    with pytest.raises(CorrectionError, match="no such photo"):
        await world.corrections.make(request(SPLIT, y, other_user_id=x, face_ids=(second,)))


async def test_a_photo_is_taken_out_and_put_back(world):
    user = await world.stored.a_user()
    first, second = [await a_photo(world, user) for _ in range(2)]
    before = await gallery(world)
    made = await world.corrections.make(request(OUT, user, face_id=second))
    out = await face(world, second)
    assert (out.kind, out.user_id, out.set_aside is not None) == ("removed", user, True)
    assert (await gallery(world))[user.hex] != before[user.hex]
    await world.corrections.undo(made.id, ME)
    assert await gallery(world) == before
    assert (await face(world, second)).kind == "enrolled"
    for photo in (first, second):
        await world.corrections.make(request(OUT, user, face_id=photo))
    assert user.hex not in await gallery(world)


async def test_a_photo_that_was_taken_out_can_be_enrolled_again(world):
    stored, user = world.stored, await world.stored.a_user()
    photo = await a_photo(world, user)
    before = await gallery(world)
    made = await world.corrections.make(request(OUT, user, face_id=photo))
    async with stored.vectors._connection("test") as connection:
        data = await connection.fetchval(
            "SELECT embedding FROM face_embeddings WHERE face_id = $1", photo
        )
    vector = np.frombuffer(data[4:], ">f4").astype(np.float32)
    await stored.vectors.enrol(photo, user, stored.model, vector, NOON)
    assert await gallery(world) == before
    assert made.id


async def test_a_correction_follows_from_the_rows_however_often_and_late(world):
    """A worker is killed between the commit and the vector database; others do it, in any order."""
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    await a_photo(world, kept)
    photo = await a_photo(world, merged)
    before = await gallery(world)
    world.corrections._follow = lambda _correction: asyncio.sleep(0)
    made = await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    assert await gallery(world) == before
    await follow(world)
    assert (await face(world, photo)).linked == kept
    undone = await world.corrections.undo(made.id, ME)
    async with world.stored.records._connection("test") as connection:
        # The undo is followed first, the merge once more after it.
        await connection.execute("DELETE FROM correction_work")
        for one in (undone.id, made.id):
            await connection.execute("INSERT INTO correction_work VALUES ($1)", one)
    await follow(world)
    assert await gallery(world) == before


async def test_corrections_are_append_only(world):
    user = await world.stored.a_user()
    seen = await a_sighting(world, user)
    made = await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    connection = await asyncpg.connect(world.stored.prepared.main_db.dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute("UPDATE corrections SET actor = 'x' WHERE id = $1", made.id)
    finally:
        await connection.close()


async def test_corrections_are_listed_newest_first(world):
    user = await world.stored.a_user()
    seen = [await a_sighting(world, user) for _ in range(3)]
    made = [await world.corrections.make(request(NOT, user, face_id=one.face_id)) for one in seen]
    found = await world.corrections.list(2, user=user)
    assert [one.id for one in found] == [made[2].id, made[1].id]
    rest = await world.corrections.list(2, user=user, after=(found[-1].made_at, found[-1].id))
    assert [one.id for one in rest] == [made[0].id]


@pytest.mark.parametrize("kind", [NOT, IS, MERGE, SPLIT, OUT])
async def test_what_is_not_there_is_refused_and_changes_nothing(world, kind):
    user = await world.stored.a_user()
    fields = {
        NOT: {"face_id": uuid4()}, IS: {"visit_id": uuid4()}, MERGE: {"other_user_id": uuid4()},
        SPLIT: {"other_user_id": await world.stored.a_user(), "face_ids": (uuid4(),)},
        OUT: {"face_id": uuid4()},
    }[kind]  # fmt: skip
    with pytest.raises(CorrectionError) as caught:
        await world.corrections.make(request(kind, user, **fields))
    assert caught.value.code.endswith("_not_found")
    assert await world.corrections.list(9, user=user) == []


async def test_an_erasure_leaves_no_correction_of_the_user(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    seen = await a_sighting(world, x)
    other = await a_sighting(world, y)
    await world.corrections.make(request(IS, y, face_id=seen.face_id))
    await world.corrections.make(request(NOT, y, face_id=other.face_id))
    receipt = await erase(world.stores, x, ME)
    assert receipt.complete
    assert [one.kind for one in await world.corrections.list(9, user=y)] == [NOT]
    assert await active_vetoes(world) == {(other.face_id, y)}
    assert json.dumps(str(x)) not in str(await announced(world))


async def test_an_erasure_takes_all_that_were_merged_with_the_user(world):
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    photo, seen = await a_photo(world, merged), await a_sighting(world, merged)
    await world.corrections.make(request(MERGE, kept, other_user_id=merged))
    assert (await look_for(world.stores, merged)).found >= 2
    receipt = await erase(world.stores, merged, ME)
    assert receipt.complete
    assert await world.stored.records.users([kept, merged]) == {}
    assert await row(world, "SELECT id FROM faces WHERE id = $1", photo) is None
    assert (await row(world, "SELECT user_id FROM faces WHERE id = $1", seen.face_id)) == {
        "user_id": None
    }
    assert await gallery(world) == {}
    assert await world.stored.vectors.is_erased(merged)


async def test_the_undo_of_a_later_correction_lets_the_earlier_one_be_undone(world):
    x, y, z = [await world.stored.a_user() for _ in range(3)]
    seen = await a_sighting(world, x)
    first = await world.corrections.make(request(IS, y, face_id=seen.face_id))
    later = await world.corrections.make(request(IS, z, face_id=seen.face_id))
    labels = []
    for correction in (later, first):
        await world.corrections.undo(correction.id, ME)
        labels.append(await row(world, "SELECT user_id FROM faces WHERE id = $1", seen.face_id))
    assert labels == [{"user_id": y}, {"user_id": x}]
    assert await active_vetoes(world) == set()


@pytest.mark.parametrize("then", ["a person", "the faces"])
async def test_what_is_said_of_a_visit_after_a_merge_stays_when_it_is_undone(world, then):
    kept, gone, third = [await world.stored.a_user() for _ in range(3)]
    seen = await a_sighting(world, gone, camera=unique("door"))
    visit = await a_stored_visit(world, gone, [seen])
    made = await world.corrections.make(request(MERGE, kept, other_user_id=gone))
    if then == "a person":
        await world.corrections.make(request(IS, kept, visit_id=visit.visit_id))
    else:
        stored = await world.visits.camera(seen.camera_id)
        now = structs.replace(stored.visits[0], user_id=third)
        await world.visits.commit([a_change(seen.camera_id, [], now, version=stored.version)])
    await world.corrections.undo(made.id, ME)
    (now,) = (await world.visits.camera(seen.camera_id)).visits
    assert now.user_id == (kept if then == "a person" else third)


async def test_what_is_said_of_a_face_after_a_merge_stays_when_it_is_undone(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    seen = await a_sighting(world, gone)
    made = await world.corrections.make(request(MERGE, kept, other_user_id=gone))
    await world.corrections.make(request(NOT, kept, face_id=seen.face_id))
    await world.corrections.undo(made.id, ME)
    assert await label(world, seen) is None


async def label(world, seen):
    return (await face(world, seen.face_id)).user_id


@pytest.mark.parametrize("first", [0, 1])
async def test_a_second_not_x_stands_when_one_of_both_is_undone(world, first):
    x = await world.stored.a_user()
    seen = await a_sighting(world, x)
    made = [await world.corrections.make(request(NOT, x, face_id=seen.face_id)) for _ in range(2)]
    await world.corrections.undo(made[first].id, ME)
    now = await face(world, seen.face_id)
    assert (now.user_id, now.decision) == (None, "vetoed")
    assert await active_vetoes(world) == {(seen.face_id, x)}
    await world.corrections.undo(made[1 - first].id, ME)
    assert await label(world, seen) == x
    assert await active_vetoes(world) == set()


async def test_not_another_one_does_not_keep_the_face_from_who_it_was(world):
    x, y = await world.stored.a_user(), await world.stored.a_user()
    seen = await a_sighting(world, x)
    first = await world.corrections.make(request(NOT, x, face_id=seen.face_id))
    await world.corrections.make(request(NOT, y, face_id=seen.face_id))
    await world.corrections.undo(first.id, ME)
    assert await label(world, seen) == x
    assert await active_vetoes(world) == {(seen.face_id, y)}


async def test_a_second_not_x_of_a_visit_stands_when_the_first_is_undone(world):
    x = await world.stored.a_user()
    seen = await a_sighting(world, x, camera=unique("door"))
    visit = await a_stored_visit(world, x, [seen])
    made = [
        await world.corrections.make(request(NOT, x, visit_id=visit.visit_id)) for _ in range(2)
    ]
    users = []
    for one in made:
        await world.corrections.undo(one.id, ME)
        (now,) = (await world.visits.camera(seen.camera_id)).visits
        users.append((now.user_id, await label(world, seen)))
    assert users == [(None, None), (x, x)]


async def test_what_both_of_two_corrections_have_said_is_undone_in_any_order(world):
    x, y, z = [await world.stored.a_user() for _ in range(3)]
    seen = await a_sighting(world, x)
    first = await world.corrections.make(request(IS, y, face_id=seen.face_id))
    later = await world.corrections.make(request(IS, z, face_id=seen.face_id))
    await world.corrections.undo(first.id, ME)
    assert await label(world, seen) == z
    await world.corrections.undo(later.id, ME)
    assert await label(world, seen) == x


@pytest.mark.parametrize("others", [1, 2])
async def test_an_undo_after_a_merge_gives_the_face_to_who_is_left(world, others):
    users = [await world.stored.a_user() for _ in range(1 + others)]
    seen = await a_sighting(world, users[0], camera=unique("door"))
    visit = await a_stored_visit(world, users[0], [seen])
    made = await world.corrections.make(request(NOT, users[0], visit_id=visit.visit_id))
    for one, kept in pairwise(users):
        await world.corrections.make(request(MERGE, kept, other_user_id=one))
    assert await active_vetoes(world) == {(seen.face_id, user) for user in users}
    await world.corrections.undo(made.id, ME)
    now = await face(world, seen.face_id)
    assert (now.user_id, now.linked) == (users[-1], users[-1])
    (stored,) = (await world.visits.camera(seen.camera_id)).visits
    assert stored.user_id == users[-1]
    assert await active_vetoes(world) == set()


async def test_a_copied_veto_stands_while_any_correction_wants_it(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    seen = await a_sighting(world, gone)
    made = [
        await world.corrections.make(request(NOT, gone, face_id=seen.face_id)) for _ in range(2)
    ]
    await world.corrections.make(request(MERGE, kept, other_user_id=gone))
    vetoes = []
    for one in made:
        await world.corrections.undo(one.id, ME)
        vetoes.append(await active_vetoes(world))
    assert vetoes == [{(seen.face_id, kept), (seen.face_id, gone)}, set()]


async def test_a_veto_that_stands_again_after_a_merge_holds_for_who_is_left(world):
    kept, gone = [await world.stored.a_user() for _ in range(2)]
    seen = await a_sighting(world, None, camera=unique("door"))
    result = the_result(an_event(seen.camera_id, seconds=1), world.stored.model)
    result = followed(result, seen)  # its embedding is that of the first face
    await commit_results(world.stored.records, [result])
    await world.corrections.make(request(NOT, gone, face_id=seen.face_id))
    made = await world.corrections.make(request(IS, gone, face_id=result.faces[0].match.face_id))
    await world.corrections.make(request(MERGE, kept, other_user_id=gone))
    assert await active_vetoes(world) == set()
    await world.corrections.undo(made.id, ME)
    assert await active_vetoes(world) == {(seen.face_id, kept), (seen.face_id, gone)}


async def test_merges_are_undone_the_last_one_first(world):
    first, second, third = [await world.stored.a_user() for _ in range(3)]
    photo = await a_photo(world, first)
    inner = await world.corrections.make(request(MERGE, second, other_user_id=first))
    outer = await world.corrections.make(request(MERGE, third, other_user_id=second))
    with pytest.raises(CorrectionError, match="undo that first"):
        await world.corrections.undo(inner.id, ME)
    for merge in (outer, inner):
        await world.corrections.undo(merge.id, ME)
    assert await row(world, "SELECT user_id FROM faces WHERE id = $1", photo) == {"user_id": first}


@pytest.mark.parametrize("who", [0, 1, 2])
async def test_an_erasure_of_any_of_a_chain_of_merges_takes_all(world, who):
    first, second, third = users = [await world.stored.a_user() for _ in range(3)]
    await a_photo(world, first)
    await world.corrections.make(request(MERGE, second, other_user_id=first))
    await world.corrections.make(request(MERGE, third, other_user_id=second))
    receipt = await erase(world.stores, users[who], ME)
    assert receipt.complete
    assert await world.stored.records.users(users) == {}
    assert await gallery(world) == {}


async def test_vetoes_reach_a_worker(world):
    stored, user = world.stored, await world.stored.a_user()
    seen = await a_sighting(world, user)
    watch = VetoWatch(world.vetoes, stored.vectors, poll=0.1, max_age=2.0)
    await watch.load()
    assert len(watch.of(stored.model)) == 0
    made = await world.corrections.make(request(NOT, user, face_id=seen.face_id))
    await watch.load()
    assert len(watch.of(stored.model)) == 1
    await stored.vectors.remove_sighting(seen.face_id)
    await watch._read()
    assert (len(watch.of(stored.model)), watch._idle[stored.model]) == (0, 1)
    await world.corrections.undo(made.id, ME)
    await watch.load()
    assert watch._idle[stored.model] == 0


async def race(*works):
    """Several at once; what was refused or came too late is fine, another error is not."""
    done = await asyncio.gather(*works, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, CorrectionError):
            raise one
    return done


@pytest.mark.parametrize("turn", range(3))
async def test_a_merge_and_an_erasure_at_once_leave_nothing_of_the_user(world, turn):
    kept, merged = [await world.stored.a_user() for _ in range(2)]
    photo = await a_photo(world, merged)
    await a_photo(world, kept)

    async def erase_later():
        await asyncio.sleep(0.01 * turn)
        return await erase(world.stores, merged, ME)

    await race(world.corrections.make(request(MERGE, kept, other_user_id=merged)), erase_later())
    await follow(world)
    await erase(world.stores, merged, ME)
    assert await world.stored.records.user(merged) is None
    assert await row(world, "SELECT id FROM faces WHERE id = $1", photo) is None
    async with world.stored.vectors._connection("test") as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM face_embeddings WHERE face_id = $1 OR user_id = $2", photo, merged
        ) == 0  # fmt: skip


@pytest.mark.parametrize("turn", range(3))
async def test_corrections_enrolments_and_undos_at_once_end_in_one_state(world, turn):
    stored = world.stored
    kept, merged = [await stored.a_user() for _ in range(2)]
    photos = [await a_photo(world, user) for user in (kept, merged, merged)]
    seen = [await a_sighting(world, merged) for _ in range(3)]

    async def merge_and_part():
        made = await world.corrections.make(request(MERGE, kept, other_user_id=merged))
        await asyncio.sleep(0.01 * turn)
        await world.corrections.undo(made.id, ME)

    await race(
        merge_and_part(),
        *(world.corrections.make(request(NOT, merged, face_id=one.face_id)) for one in seen),
        world.corrections.make(request(OUT, kept, face_id=photos[0])),
        world.corrections.make(request(SPLIT, merged, other_user_id=kept, face_ids=(photos[1],))),
        a_photo(world, kept),
        follow(world),
    )
    await follow(world)
    async with stored.records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT id, user_id, kind FROM faces WHERE model = $1 AND kind <> 'frame'", stored.model
        )
    async with stored.vectors._connection("test") as connection:
        owners = await connection.fetch(
            "SELECT face_id, user_id, set_aside_at IS NOT NULL AS out FROM face_embeddings "
            "WHERE model = $1 AND kind = 'template'",
            stored.model,
        )
        links = await connection.fetch(
            "SELECT face_id, user_id FROM face_embeddings WHERE model = $1 AND kind = 'sighting'",
            stored.model,
        )
    assert {(one["face_id"], one["user_id"], one["out"]) for one in owners} == {
        (one["id"], one["user_id"], one["kind"] == "removed") for one in rows
    }
    for one in links:
        assert (await face(world, one["face_id"])).user_id == one["user_id"]
    from tests.contract.stored_people import reconcile, young

    found = await reconcile(young(stored.prepared), dry_run=True)
    assert found["wrong_mean"] == (0, 0)
    assert found["wrong_suspension"] == (0, 0)
