"""Faces that were followed from an earlier frame: stored once, shown by the crop of their track."""

from datetime import timedelta
from uuid import uuid4

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.events import DetectedFaces, EventKind, ImageEvent
from domain.object_keys import crop_key
from domain.personal_data import Author
from services.erasure import erase
from services.face_erasure import erase_face
from sinks.main.database_sessions import Databases
from sinks.main.schema import Face
from sinks.stores import Stores
from streams.clients.durable_producer import Publisher
from streams.contract.value_codec import match_from_json
from tests.end_to_end.api.conftest import MATCHES, running_app
from tests.end_to_end.test_identify import DIMENSION, NOON, delivery, face, identify
from tests.stored_records import stored_user

#: The face of the person, and one like it.
PERSON = 801


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


class Recording(Publisher):
    """Keeps what is announced."""

    def __init__(self, producer):
        super().__init__(producer)
        self.matches = []

    async def send_all(self, messages):
        self.matches += [match_from_json(one.value) for one in messages]
        await super().send_all(messages)


@pytest.fixture
async def agent(records, vectors, crops, recents, producer, topics, prepared):
    parts = (records, vectors, crops, recents, producer, topics, prepared)
    async with identify(*parts) as one:
        yield one


@pytest.fixture
def sent_matches(agent, producer, monkeypatch):
    """What the agent announces."""
    recording = Recording(producer)
    monkeypatch.setattr(agent._announcer, "_publisher", recording)
    return recording.matches


@pytest.fixture(scope="module")
async def model(vectors):
    name = f"carried-{uuid4().hex[:8]}"
    await vectors.ensure_model(name, DIMENSION)
    return name


@pytest.fixture
async def person(vectors, records, model):
    """An enrolled user; erased users of other tests are not in a new agent's gallery."""
    user = await stored_user(records, f"{uuid4().hex}@example.org")
    embedding = np.frombuffer(face(PERSON).embedding, "<f4")
    await vectors.enrol(uuid4(), user.id, model, embedding, NOON)
    yield user.id
    await vectors.suspend_user(user.id)


class Track:
    """Frames of one camera with one face each, of one track."""

    def __init__(self, model):
        self.model, self.camera, self.id = model, uuid4().hex, uuid4()

    def event(self, number):
        return ImageEvent(
            kind=EventKind.FRAME,
            source="camera/tracked",
            id=f"{self.camera}-{number}",
            key=self.camera,
            captured_at=NOON + timedelta(days=number),
        )

    def face_id(self, number):
        return self.event(number).face_id(self.model, 0)

    def crop_key(self, number):
        return crop_key(self.camera, self.event(number).captured_at, self.face_id(number))

    def found(self, number, best=None, *, seed=900, near=None):
        """A frame whose face is embedded, or carried from the frame with the number ``best``."""
        one = structs.replace(face(seed, near=near), track_id=self.id)
        if best is not None:
            one = structs.replace(one, crop=b"", best_face_id=self.face_id(best))
        return DetectedFaces(
            event=self.event(number), model=self.model, width=640, height=480, faces=(one,)
        )

    def message(self, number, best=None, **looks):
        return delivery(self.found(number, best, **looks))


async def row_of(records, track, number):
    (row,) = await records.faces_of(track.event(number).uuid, track.model)
    return row


async def own_crop(records, face_id):
    async with records._connection("test") as connection:
        return await connection.fetchval("SELECT crop_key FROM faces WHERE id = $1", face_id)


async def has_sighting(vectors, face_id):
    async with vectors._connection("test") as connection:
        return await connection.fetchval(
            "SELECT EXISTS (SELECT FROM face_embeddings WHERE face_id = $1)", face_id
        )


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
async def test_a_carried_face_has_a_row_and_a_message_and_the_crop_of_its_track(
    agent, sent_matches, model, person, records, vectors, crops, recents, together
):
    track = Track(model)
    messages = [track.message(0, near=PERSON), track.message(1, best=0, near=PERSON)]
    for batch in [messages] if together else [messages[:1], messages[1:]]:
        assert await agent.process(batch) == {}
    first, carried = sent_matches
    assert (first.fresh, carried.fresh) == (True, False)
    assert first.track_id == carried.track_id == track.id
    assert first.user_id == carried.user_id == person
    assert first.crop_key == carried.crop_key == track.crop_key(0)
    assert [one.match for one in await records.recent_faces(5, camera=track.camera)] == [
        carried, first,
    ]  # fmt: skip
    assert await recents.recent(5, track.camera) == [carried, first]
    assert await own_crop(records, carried.face_id) is None
    assert await crops.exists(track.crop_key(0))
    assert not await crops.exists(track.crop_key(1))
    assert await has_sighting(vectors, first.face_id)
    assert not await has_sighting(vectors, carried.face_id)


async def test_a_carried_face_is_announced_again_with_the_same_crop(
    agent, sent_matches, model, records
):
    track = Track(model)
    batch = [track.message(0), track.message(1, best=0)]
    await agent.process(batch)
    async with records._connection("test") as connection:
        await connection.execute(
            "UPDATE events SET announced_at = NULL WHERE key = $1", track.camera
        )
    await agent.process(batch)
    assert len(sent_matches) == 4
    by_face = {one.face_id: one for one in sent_matches[:2]}
    assert {one.face_id: one for one in sent_matches[2:]} == by_face


@pytest.mark.parametrize("best", ["not stored yet", "never stored"])
async def test_a_carried_face_whose_best_face_is_not_known_is_announced_without_a_crop(
    agent, sent_matches, model, person, records, best
):
    """The frame of the best face is retried, or is a dead letter."""
    track = Track(model)
    await agent.process([track.message(1, best=0, near=PERSON)])
    (match,) = sent_matches
    assert (match.crop_key, match.fresh, match.user_id) == (None, False, person)
    assert (await row_of(records, track, 1)).match == match
    if best == "not stored yet":
        await agent.process([track.message(0)])
        assert (await row_of(records, track, 1)).match == match


async def test_a_best_face_that_was_carried_itself_leads_to_the_one_with_the_crop(
    agent, sent_matches, model, records
):
    """A worker started again and made another face the best one; the first result counts."""
    track = Track(model)
    await agent.process([track.message(0), track.message(1, best=0)])
    await agent.process([track.message(1), track.message(2, best=1), track.message(3, best=2)])
    for number in (1, 2, 3):
        row = await row_of(records, track, number)
        assert row.best_face_id == track.face_id(0)
        assert row.match.crop_key == track.crop_key(0)
    assert {one.crop_key for one in sent_matches} == {track.crop_key(0)}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
async def test_a_face_of_another_track_stands_for_no_face(
    agent, sent_matches, model, records, together
):
    """The best face was detected twice, and the numbers of the faces of its frame have changed."""
    track = Track(model)
    before = track.message(0)
    track.id = uuid4()
    after = track.message(1, best=0)
    for batch in [[before, after]] if together else [[before], [after]]:
        assert await agent.process(batch) == {}
    row = await row_of(records, track, 1)
    assert (row.match.crop_key, row.match.fresh) == (None, False)
    assert [one.crop_key for one in sent_matches] == [track.crop_key(0), None]


async def test_a_circle_of_best_faces_is_stored_without_a_crop(agent, sent_matches, model):
    """No worker of ours sends one."""
    track = Track(model)
    batch = [track.message(0, best=1), track.message(1, best=0), track.message(2, best=2)]
    assert await agent.process(batch) == {}
    assert [one.crop_key for one in sent_matches] == [None] * 3


#: Which frames are embedded in one pass of a detect worker over the frames, the first one always.
passes = st.lists(st.booleans(), min_size=3, max_size=3)


def in_pass(track, fresh):
    """The messages of a pass: each frame that is not embedded refers to the last one that was."""
    messages, best = [], 0
    for number in range(1 + len(fresh)):
        if number == 0 or fresh[number - 1]:
            best = number
            messages.append((number, track.message(number, seed=900 + number)))
        else:
            messages.append((number, track.message(number, best=best)))
    return messages


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=passes, second=passes, until=st.integers(1, 4), data=st.data())
async def test_frames_of_two_passes_in_any_batches_are_stored_by_the_first_and_shown_by_their_best(
    agent, sent_matches, model, records, vectors, crops, first, second, until, data
):
    """A detect worker stops after some frames, and another begins again with tracks of its own."""
    track = Track(model)
    sent = [*in_pass(track, first)[:until], *in_pass(track, second)]
    if data.draw(st.booleans(), label="shuffled"):
        sent = data.draw(st.permutations(sent), label="order")
        is_in_order = False
    else:
        is_in_order = True
    stored, left = {}, sent
    while left:
        size = data.draw(st.integers(1, len(left)), label="batch")
        assert await agent.process([message for _, message in left[:size]]) == {}
        left = left[size:]
    for number, message in sent:
        stored.setdefault(number, message)
    announced = {one.face_id: one for one in sent_matches if one.camera_id == track.camera}
    rows = {number: await row_of(records, track, number) for number in stored}
    for number, row in rows.items():
        shown = row.match.crop_key
        match = announced[track.face_id(number)]
        assert match.crop_key in {shown, None}
        assert shown is None or await crops.exists(shown)
        fresh = row.best_face_id is None
        assert match.fresh is row.match.fresh is fresh
        assert fresh is bool(message_face(stored[number]).crop)
        assert await has_sighting(vectors, match.face_id) is fresh
        assert await crops.exists(track.crop_key(number)) is fresh
        if fresh:
            assert shown == track.crop_key(number)
        elif is_in_order:
            best = next(n for n in rows if track.face_id(n) == row.best_face_id)
            assert rows[best].best_face_id is None, "one step leads to a crop"
            assert shown == match.crop_key == track.crop_key(best)


def message_face(message):
    from streams.contract.value_codec import unpack

    return unpack(message.value).faces[0]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
async def test_the_crop_that_stands_for_a_face_of_an_erased_user_is_deleted(
    agent, sent_matches, model, person, stores, records, crops, together
):
    """The gallery's copy still has the user; the best face alone was not recognised."""
    await agent.process([Track(model).message(0)])  # loads the gallery
    track = Track(model)
    batch = [
        track.message(0, seed=902),
        track.message(1, best=0),
        track.message(2, best=1, near=PERSON),
    ]
    if not together:
        await agent.process(batch[:2])
        assert await crops.exists(track.crop_key(0))
        batch = batch[2:]
    await erase(stores, person, Author("test"))
    assert await agent.process(batch) == {}
    assert not await crops.exists(track.crop_key(0))
    for number in range(3):
        assert (await row_of(records, track, number)).match.crop_key is None
    assert sent_matches[-1].crop_key is sent_matches[-1].user_id is None


async def test_erasing_a_user_deletes_the_crops_that_stand_for_the_faces(
    agent, model, person, stores, records, crops
):
    """Also where the best face itself is an unknown's."""
    track, other = Track(model), Track(model)
    await agent.process([track.message(0, seed=902), track.message(1, best=0, near=PERSON)])
    await agent.process([other.message(0, seed=903), other.message(1, best=0, seed=904)])
    assert (await row_of(records, track, 0)).match.user_id is None
    assert (await row_of(records, track, 1)).match.user_id == person
    receipt = await erase(stores, person, Author("test"))
    found = {(one.store, one.what): one.removed for one in receipt.checks}
    assert receipt.complete
    assert (found["s3", "crops"], found["main", "links of sightings"]) == (1, 1)
    assert not await crops.exists(track.crop_key(0))
    for number in (0, 1):
        assert (await row_of(records, track, number)).match.crop_key is None
    assert await crops.exists((await row_of(records, other, 1)).match.crop_key)


async def test_the_api_shows_the_crop_of_the_track_until_the_best_face_is_deleted(
    agent, model, stores, prepared, crops
):
    track = Track(model)
    await agent.process([track.message(0), track.message(1, best=0), track.message(2, best=0)])
    databases = Databases(prepared)
    async with running_app(prepared, auth=False) as http:

        async def listed():
            page = await http.get(MATCHES, params={"camera_id": track.camera})
            return page.json()["items"]

        items = await listed()
        assert [one["fresh"] for one in items] == [False, False, True]
        assert {one["track_id"] for one in items} == {str(track.id)}
        shown = [await http.get(one["crop_url"]) for one in items]
        assert {one.content for one in shown} == {message_face(track.message(0)).crop}
        one = (await http.get(f"/api/v1/faces/{track.face_id(1)}")).json()
        assert (one["fresh"], one["track_id"]) == (False, str(track.id))
        assert one["crop_url"] == items[1]["crop_url"]

        await delete_face(stores, databases, track.face_id(1))
        assert await crops.exists(track.crop_key(0)), "another face's"
        assert len(await listed()) == 2
        await delete_face(stores, databases, track.face_id(0))
        assert not await crops.exists(track.crop_key(0))
        (left,) = await listed()
        assert left["crop_url"] is None
        crop = await http.get(f"/api/v1/faces/{track.face_id(2)}/crop")
        assert crop.status_code == httpx.codes.NOT_FOUND
    await databases.close()


async def delete_face(stores, databases, face_id):
    async with databases.main() as session:
        found = await session.get(Face, face_id)
        session.expunge(found)
    await erase_face(stores, databases.main, found, "test")
