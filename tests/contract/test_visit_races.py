"""Commits of visits, while others erase users, delete faces, or commit the same cameras."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec import structs

from domain.events import utc_now
from domain.personal_data import Cutoffs, DataSubject
from domain.visit_events import VisitFace
from sinks.main.main_store import Records
from sinks.main.visit_store import UsersErased, VersionConflict, VisitStore
from tests.contract.builders import unique
from tests.contract.stored_visits import (
    a_change,
    a_message,
    a_visit,
    at,
    ended,
    in_visit,
    stored_faces,
)
from tests.stored_records import stored_user

WAITING = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE wait_event_type = 'Lock' AND datname = current_database())
"""


@pytest.fixture
def camera():
    return unique("door")


@pytest.fixture
async def other(prepared):
    """Another client of the main database."""
    connection = await asyncpg.connect(prepared.main_db.dsn)
    yield connection
    await connection.close()


async def blocked(connection, task):
    """Wait until a transaction waits for another."""
    async with asyncio.timeout(20):
        while not await connection.fetchval(WAITING):
            assert not task.done(), task
            await asyncio.sleep(0.01)


async def a_user(records):
    return (await stored_user(records, f"{unique('u')}@example.org")).id


async def test_of_two_commits_from_one_version_one_wins_whole(records, visits, camera):
    neighbour = unique("door")
    faces = await stored_faces(records, camera, range(12))
    await visits.commit([a_change(neighbour), a_change(camera)])

    def change(number):
        visit = a_visit(camera, faces[number:], revision=number + 1)
        changes = [
            a_change(camera, faces[number:], visit, version=1, messages=(a_message(visit),)),
            a_change(neighbour, version=1, clock=at(number)),
        ]
        return changes if number % 2 else changes[::-1]

    done = await asyncio.gather(
        *(visits.commit(change(number)) for number in range(8)), return_exceptions=True
    )
    lost = [one for one in done if isinstance(one, BaseException)]
    assert len(lost) == 7
    assert all(isinstance(one, VersionConflict) for one in lost), lost
    (number,) = (place for place, one in enumerate(done) if one not in lost)
    stored = await visits.camera(camera)
    assert [one.revision for one in stored.visits] == [number + 1]
    assert stored.faces == in_visit(faces[number:], stored.visits[0])
    assert (await visits.camera(neighbour)).clock == at(number)
    assert len(await visits.unsent([camera])) == 1


async def test_of_two_first_commits_of_a_camera_one_wins(visits, camera):
    done = await asyncio.gather(
        *(visits.commit([a_change(camera)]) for _ in range(6)), return_exceptions=True
    )
    assert sum(not isinstance(one, VersionConflict) for one in done) == 1
    assert (await visits.camera(camera)).version == 1


async def test_an_erasure_in_progress_is_waited_for(records, visits, camera, other):
    user = await a_user(records)
    faces = await stored_faces(records, camera, (0, 1), user_id=user)
    visit = a_visit(camera, faces, user_id=user)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", user)
    commit = asyncio.create_task(visits.commit([a_change(camera, faces, visit)]))
    await blocked(other, commit)
    await other.execute("DELETE FROM users WHERE id = $1", user)
    await transaction.commit()
    with pytest.raises(UsersErased) as caught:
        await commit
    assert caught.value.users == {user}
    assert await visits.camera(camera) is None


async def test_a_checkpoint_that_names_an_erased_user_is_refused(records, visits, camera):
    user, present = [await a_user(records) for _ in range(2)]
    faces = await stored_faces(records, camera, (0, 1))
    checkpoint = f'{{"lead":"{user}","user":"{present}","face":"{uuid4()}"}}'.encode()
    change = a_change(
        camera, faces, a_visit(camera, faces), checkpoint=checkpoint,
        checkpoint_after=faces[0].frame,
    )  # fmt: skip
    await visits.commit([change])
    await records.erase(DataSubject(user))
    stored = await visits.camera(camera)
    assert (stored.checkpoint, stored.version) == (None, 1)
    assert stored.faces == in_visit(faces, stored.visits[0])
    with pytest.raises(UsersErased) as caught:
        await visits.commit([structs.replace(change, version=1)])
    assert caught.value.users == {user}


async def test_an_erasure_waits_for_a_commit_whose_checkpoint_names_the_user(
    records, visits, camera, other
):
    """The commit has the user's lock, and waits for a camera."""
    user = await a_user(records)
    await visits.commit([a_change(camera)])
    checkpoint = f'["{user}"]'.encode()
    change = a_change(camera, version=1, checkpoint=checkpoint)
    async with other.transaction():
        await other.execute("SELECT FROM visit_cameras WHERE camera_id = $1 FOR UPDATE", camera)
        commit = asyncio.create_task(visits.commit([change]))
        await blocked(other, commit)
        erasure = asyncio.create_task(records.erase(DataSubject(user)))
        await asyncio.sleep(0.2)
        assert not erasure.done()
    await commit
    assert (await erasure).counts["visit checkpoints"] == 1
    assert (await visits.camera(camera)).checkpoint is None


@pytest.mark.parametrize("best", [True, False])
async def test_a_face_that_is_being_deleted_is_left_out(records, visits, camera, other, best):
    faces = await stored_faces(records, camera, (0, 1))
    gone, kept = faces if best else faces[::-1]
    visit = a_visit(camera, faces, best_face_id=faces[0].face_id)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("DELETE FROM faces WHERE id = $1", gone.face_id)
    commit = asyncio.create_task(visits.commit([a_change(camera, faces, visit)]))
    await blocked(other, commit)
    await transaction.commit()
    await commit
    stored = await visits.camera(camera)
    assert [one.face for one in stored.faces] == [kept]
    assert stored.visits[0].best_face_id == (None if best else faces[0].face_id)


async def test_a_visit_that_is_being_deleted_takes_no_late_face(records, visits, camera, other):
    faces = await stored_faces(records, camera, (0, 1))
    visit = ended(a_visit(camera, faces[:1]))
    await visits.commit([a_change(camera, faces[:1], visit)])
    transaction = other.transaction()
    await transaction.start()
    await other.execute("DELETE FROM visits WHERE visit_id = $1", visit.visit_id)
    adding = asyncio.create_task(visits.add_late([(faces[1].face_id, visit.visit_id)]))
    await blocked(other, adding)
    await transaction.commit()
    assert await adding == set()


async def test_a_commit_that_is_ended_for_a_deadlock_is_repeated(
    records, visits, camera, other, prepared
):
    """Another client locks the same rows in the opposite order."""
    faces = await stored_faces(records, camera, (0, 1))
    first, second = (a_visit(camera, [face]) for face in faces)
    change = a_change(camera, visits=(first, second), clock=at(1))
    await visits.commit([change])
    low, high = sorted((first.visit_id, second.visit_id))
    lock = "SELECT FROM visits WHERE visit_id = $1 FOR UPDATE"
    await other.execute("SET deadlock_timeout = '60s'")  # the commit is the one that notices it
    transaction = other.transaction()
    await transaction.start()
    await other.execute(lock, high)
    commit = asyncio.create_task(visits.commit([structs.replace(change, version=1)]))
    watcher = await asyncpg.connect(prepared.main_db.dsn)
    await blocked(watcher, commit)
    await watcher.close()
    await other.execute(lock, low)
    assert not commit.done()
    await transaction.commit()
    await commit
    assert (await visits.camera(camera)).version == 2


@dataclass
class Crowd:
    """Frames of cameras, with one face each, and the users whom these match in turn."""

    records: Records
    users: list[UUID]
    faces: dict[str, list[VisitFace]]

    @property
    def every(self):
        return [face.face_id for of_camera in self.faces.values() for face in of_camera]

    async def change(self, store, camera, index):
        """What a worker makes of a frame: a visit is of six of them."""
        stored, face = await store.camera(camera), self.faces[camera][index]
        user = await self.records.user(self.users[index % len(self.users)])
        first = self.faces[camera][index // 6 * 6]
        visit = a_visit(camera, [first, face], user_id=user and user.id)
        message = a_message(structs.replace(visit, revision=index + 1))
        return a_change(
            camera, [face], visit, version=stored.version if stored else 0, messages=(message,),
            checkpoint=f'["{user and user.id}"]'.encode(), checkpoint_after=face.frame,
        )  # fmt: skip

    async def follow(self, store, cameras):
        """Commit frame after frame, as a worker does it; two of them disturb each other."""
        for index in range(FRAMES):
            written = False
            while not written:
                changes = [await self.change(store, camera, index) for camera in cameras]
                with suppress(UsersErased, VersionConflict):
                    await store.commit(changes)
                    written = True

    async def erase(self):
        for user in self.users[::2]:
            await self.records.erase(DataSubject(user))
            await asyncio.sleep(0.05)

    async def expire(self):
        expired = 1
        while expired:
            expired = (await self.records.expire(Cutoffs(EDGE, None, 4))).total
            await asyncio.sleep(0.02)

    async def delete(self, connection):
        for face_id in self.every[1::7]:
            await connection.execute("DELETE FROM faces WHERE id = $1", face_id)
            await asyncio.sleep(0.02)


FRAMES = 36
EDGE = utc_now() - timedelta(days=2900)


async def test_commits_erasures_retention_and_deletions_at_once(records, prepared, other):
    """None of them fails, and in the end nothing names who, or contains what, is gone."""
    users = [await a_user(records) for _ in range(9)]
    faces = {
        camera: [
            (await stored_faces(records, camera, (second,), user_id=users[second % 9]))[0]
            for second in range(FRAMES)
        ]
        for camera in (unique("crowd") for _ in range(3))
    }
    crowd = Crowd(records, users, faces)
    old = crowd.every[::3]
    await other.execute(
        "UPDATE faces SET created_at = now() - interval '3000 days' WHERE id = ANY($1::uuid[])", old
    )
    erased, gone = set(users[::2]), {*old, *crowd.every[1::7]}
    async with VisitStore(prepared.main_db) as one, VisitStore(prepared.main_db) as two:
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(crowd.follow(one, list(faces)))
            tasks.create_task(crowd.follow(two, list(faces)[::-1]))
            for work in (crowd.erase(), crowd.expire(), crowd.delete(other)):
                tasks.create_task(work)
        for camera in faces:
            stored = await one.camera(camera)
            assert stored.version == 2 * FRAMES
            assert not {visit.user_id for visit in stored.visits} & erased
            assert not [user for user in erased if f"{user}".encode() in (stored.checkpoint or b"")]
        assert await one.known(crowd.every) == {*crowd.every} - gone
        named = {message.visit.user_id for message in await one.unsent(list(faces))}
        assert named
        assert not named & erased
