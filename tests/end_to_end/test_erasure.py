"""Whatever order things come in, nothing of an erased person is left, or comes back."""

import asyncio
import json
import os
import sys
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.events import DetectedFaces, EventKind, ImageEvent, Refusal
from domain.object_keys import crop_key
from domain.personal_data import Author
from services.erasure import erase, look_for
from sinks.stores import Stores
from streams.contract.envelope import encode_headers
from tests.end_to_end import photos
from tests.end_to_end.test_identify import DIMENSION, NOON, delivery, face, identify
from tests.stored_records import ledger_row, settled_rows, stored_user

BY_TEST = Author("test")

#: The person's own face, and what photos and frames of it look like.
PERSON = 501


@pytest.fixture
def stores(records, vectors, crops, recents):
    return Stores(records=records, vectors=vectors, crops=crops, recents=recents)


@pytest.fixture
async def agents(records, vectors, crops, recents, producer, topics, prepared):
    """Two identify agents; neither follows the gallery but for what it enrols itself."""
    parts = (records, vectors, crops, recents, producer, topics, prepared)
    async with identify(*parts) as one, identify(*parts) as other:
        yield one, other


@pytest.fixture(scope="module")
async def model(vectors):
    name = f"erased-{uuid4().hex[:8]}"
    await vectors.ensure_model(name, DIMENSION)
    return name


#: A frame whose face alone is nobody's; and frames whose faces are carried from it, and are the
#: person's by the mean of their track.
BEST, CARRIED = "best", "carried"

#: Not like the person.
UNLIKE = 502


def carried_in(kind, number, model, run):
    """What the detect agent says of the frames of a track."""
    event = ImageEvent(
        kind=EventKind.FRAME,
        source="camera/tracked",
        id=f"{run}-{kind}-{number}",
        key=f"{run}-tracked",
        captured_at=NOON,
    )
    if kind == BEST:
        looks = face(UNLIKE)
    else:
        best = carried_in(BEST, 0, model, run).event.face_id(model, 0)
        looks = replace(face(700 + number, near=PERSON), crop=b"", best_face_id=best)
    return DetectedFaces(event=event, model=model, width=640, height=480, faces=(looks,))


def found_in(kind, number, model, user_id, run):
    """What the detect agent says of one of the person's photos or frames."""
    if kind in {BEST, CARRIED}:
        return carried_in(kind, 0 if kind == BEST else number, model, run)
    event = ImageEvent(
        kind=kind,
        source="fecapass/uploads" if kind is not EventKind.FRAME else "camera/erased",
        id=f"{run}-{kind}-{number}",
        key=f"{run}-{number if kind is not EventKind.FRAME else 'door'}",
        captured_at=NOON,
        subject=str(user_id) if kind is EventKind.ENROL else None,
    )
    looks = face(600 + number, near=PERSON)
    return DetectedFaces(event=event, model=model, width=640, height=480, faces=(looks,))


kinds = st.sampled_from([EventKind.ENROL, EventKind.FRAME, EventKind.SEARCH, BEST, CARRIED])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), kinds, st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("erase")),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(steps, max_size=2),
    beside=steps,
    after=st.lists(steps, max_size=2),
)
async def test_any_interleaving_leaves_no_trace(
    agents, stores, model, records, crops, before, beside, after
):
    """The steps of a group run at once; the group in the middle has an erasure in it."""
    run = uuid4().hex
    user = (await stored_user(records, f"{run}@example.org")).id
    enrolments = [found_in(EventKind.ENROL, number, model, user, run) for number in range(3)]

    async def do(step):
        if step[0] == "erase":
            await erase(stores, user, BY_TEST)
        else:
            _, kind, number, worker = step
            message = delivery(found_in(kind, number, model, user, run))
            assert await agents[worker].process([message]) == {}

    best = carried_in(BEST, 0, model, run)
    best_crop = crop_key(best.event.key, NOON, best.event.face_id(model, 0))

    async def shows_the_person():
        """Whether the best crop stands for a face of the person."""
        faces = await records.recent_faces(100, camera=best.event.key, user=user)
        return best_crop in [one.match.crop_key for one in faces]

    await asyncio.gather(*(do(("event", EventKind.ENROL, 0, worker)) for worker in (0, 1)))
    must_go = False
    for group in (*before, [*beside, ("erase",)], *after):
        await asyncio.gather(*(do(step) for step in group))
        must_go |= await shows_the_person()

    assert not (must_go and await crops.exists(best_crop))
    for row in await records.faces_of(best.event.uuid, model):
        assert (row.match.crop_key is not None) == await crops.exists(best_crop)
    left = await look_for(stores, user)
    assert [check for check in left.checks if check.found] == []
    for one in enrolments:
        face_id = one.event.face_id(model, 0)
        assert not await crops.exists(crop_key(one.event.key, NOON, face_id))
        assert await records.faces_of(one.event.uuid, model) == []
    async with records._connection("test") as connection:
        for table in ("users", "faces", "events"):
            rows = await connection.fetch(
                f"SELECT 1 FROM {table} AS row WHERE row::text LIKE '%' || $1 || '%'",  # noqa: S608
                str(user),
            )
            assert rows == [], table


async def test_a_photo_of_the_erased_goes_with_its_refusal(agents, stores, model, records, crops):
    """The claim check may be stored, and the event sent, after the erasure looked for photos."""
    user = (await stored_user(records, f"{uuid4().hex}@example.org")).id
    await erase(stores, user, BY_TEST)
    found = found_in(EventKind.ENROL, 0, model, user, uuid4().hex)
    key = f"uploads/{found.event.uuid}.jpg"
    await crops.put(key, b"photo")
    await agents[0].process([delivery(found)])
    assert not await crops.exists(key)
    ledger = await ledger_row(records, found.event.uuid, model)
    assert ledger.outcome == "refused"
    assert str(user) not in str(ledger.answer)


def sent_by_another_program(kind, model, user_id, run, *, bucket, refusal=None, looks=()):
    """A photo that came over Kafka by claim check, without the API knowing of it."""
    event = ImageEvent(
        kind=kind, source="//hr.example/badges", id=run, key=f"badge {run}", captured_at=NOON,
        subject=str(user_id) if kind is EventKind.ENROL else None,
    )  # fmt: skip
    return DetectedFaces(
        event=event, model=model, width=0, height=0, faces=tuple(looks), refusal=refusal,
        dataref=f"s3://{bucket}/uploads/hr/{run}.jpg",
    )  # fmt: skip


REFUSED = Refusal(code="corrupt", message="the image is corrupt")
GIVEN_UP = Refusal(code="store_fault", message="given up", given_up=True)


@pytest.mark.parametrize("refusal", [None, REFUSED, GIVEN_UP], ids=["no_face", "corrupt", "failed"])
async def test_field_16_refused_photos_of_other_programs_are_found(
    agents, stores, model, records, crops, refusal, waiter
):
    run = uuid4().hex
    user = (await stored_user(records, f"{run}@example.org")).id
    found = sent_by_another_program(
        EventKind.ENROL, model, user, run, bucket=crops.bucket, refusal=refusal
    )
    key = f"uploads/hr/{run}.jpg"
    await crops.put(key, b"photo")
    await agents[0].process([delivery(found)])
    assert await waiter.wait(found.event.key, 5.0) is not None
    looked = {(one.store, one.what): one.found for one in (await look_for(stores, user)).checks}
    assert looked["main", "answers to uploads"] == 1
    assert looked["s3", "photos by claim check"] == 1
    assert looked["redis", "entries"] == 1
    receipt = await erase(stores, user, BY_TEST)
    assert receipt.complete
    assert not await crops.exists(key)
    assert await ledger_row(records, found.event.uuid, model) is None
    assert await waiter.wait(found.event.key, 0.05) is None
    # Delivered again, it leaves nothing of the person.
    await crops.put(key, b"photo")
    await agents[0].process([delivery(found)])
    assert not await crops.exists(key)
    assert [one for one in (await look_for(stores, user)).checks if one.found] == []


async def test_field_16_what_lies_elsewhere_is_not_deleted(agents, stores, model, records, crops):
    """A client may name any object in an upload: that is no reason to delete it."""
    run = uuid4().hex
    user = (await stored_user(records, f"{run}@example.org")).id
    for number, place in enumerate(("crops/somebody.jpg", "hr/a.jpg")):
        await crops.put(place, b"not the user's")
        found = sent_by_another_program(
            EventKind.ENROL, model, user, f"{run}{number}", bucket=crops.bucket, refusal=REFUSED
        )
        await agents[0].process([delivery(replace(found, dataref=f"s3://{crops.bucket}/{place}"))])
    receipt = await erase(stores, user, BY_TEST)
    assert receipt.complete
    for place in ("crops/somebody.jpg", "hr/a.jpg"):
        assert await crops.exists(place)
        await crops.delete_many([place])


async def test_field_14_lines_of_an_older_release_are_found_too(agents, stores, model, records):
    """They do not say whom they name; nor do those that an older worker writes at the same time."""
    run = uuid4().hex
    user, other = [(await stored_user(records, f"{run}{n}@example.org")).id for n in range(2)]
    found = [
        found_in(kind, 3, model, one, f"{run}{one}")
        for one in (user, other)
        for kind in (EventKind.ENROL, EventKind.SEARCH)
    ]
    await agents[0].process([delivery(one) for one in found])
    async with records._connection("test") as connection:
        await connection.execute(
            "UPDATE events SET people = NULL WHERE event_uuid = ANY($1::uuid[])",
            [one.event.uuid for one in found],
        )
    looked = {(one.store, one.what): one.found for one in (await look_for(stores, user)).checks}
    assert looked["main", "answers to uploads"] >= 2
    async with records._connection("test") as connection:
        await connection.execute(
            "UPDATE events SET people = NULL WHERE event_uuid = ANY($1::uuid[])",
            [one.event.uuid for one in found],
        )
    assert (await erase(stores, user, BY_TEST)).complete
    assert (await erase(stores, other, BY_TEST)).complete


async def test_erasing_is_found_in_the_receipt_and_the_audit(stores, model, agents, records):
    run = uuid4().hex
    user = (await stored_user(records, f"{run}@example.org")).id
    for kind in (EventKind.ENROL, EventKind.FRAME, EventKind.SEARCH):
        await agents[0].process([delivery(found_in(kind, 1, model, user, run))])
    looked = {(one.store, one.what): one.found for one in (await look_for(stores, user)).checks}
    receipt = await erase(stores, user, BY_TEST)
    assert receipt.complete
    found = {(one.store, one.what): one.found for one in receipt.checks}
    # A follow worker of the session may have made a visit of the frame in the meantime.
    assert found.keys() == looked.keys()
    assert all(found[place] >= number for place, number in looked.items())
    assert {(one.store, one.what): one.removed for one in receipt.checks} == looked
    assert looked["vector", "templates"] == 1
    assert looked["vector", "links of sightings"] == 1
    assert looked["s3", "crops"] == 2
    assert looked["redis", "entries"] >= 3
    assert looked["main", "enrolled faces"] == looked["main", "links of sightings"] == 1
    assert looked["main", "answers to uploads"] == 2
    async with records._connection("test") as connection:
        entries = await connection.fetch(
            "SELECT actor FROM audit WHERE target = $1 AND action = 'user.delete'", f"user:{user}"
        )
    assert [row["actor"] for row in entries] == ["test"]


async def test_the_command_erases_while_frames_of_the_person_keep_coming(
    client, records, stores, producer, topics, environment, tmp_path
):
    photo = tmp_path / "her.png"
    photo.write_bytes(photos.astronaut())
    email = f"{uuid4().hex}@example.org"
    user = await stored_user(records, email)
    (answer,) = await client.enrol(user, [photo])
    assert answer.answer.status == "enrolled"
    camera, sent, stop = f"door-{uuid4().hex[:8]}", [], asyncio.Event()

    async def publish():
        while not stop.is_set():
            event = ImageEvent(
                kind=EventKind.FRAME,
                source=f"camera/{camera}",
                id=str(len(sent)),
                key=camera,
                captured_at=NOON,
            )
            headers = encode_headers(event, "image/png")
            await producer.send_and_wait(
                topics.frames, photos.astronaut(), key=camera.encode(), headers=headers
            )
            sent.append(event)
            await asyncio.sleep(0.1)

    async def settled(model="sface-2021dec"):
        return len(await settled_rows(records, [(event.uuid, model) for event in sent]))

    async def until(condition):
        async with asyncio.timeout(120):
            while not await condition():  # noqa: ASYNC110 - a server has no event to wait for
                await asyncio.sleep(0.1)

    async def seen():
        return any(
            one.match.user_id == user.id for one in await records.recent_faces(100, camera=camera)
        )

    async def fecapass(*arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.cli.main",
            *arguments,
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()

    publishing = asyncio.create_task(publish())
    try:
        await until(seen)
        code, output, errors = await fecapass("erase", email, "--yes", "--json")
        assert code == 0, errors
        so_far = len(sent)
        await until(lambda: _longer(sent, so_far + 20))
    finally:
        stop.set()
        await publishing
    receipt = json.loads(output)
    assert receipt["complete"]
    assert all(check["left"] == 0 for check in receipt["checks"])
    assert any("photo.uploads" in one["where"] for one in receipt["remains"])

    async def all_settled():
        return await settled() == len(sent)

    await until(all_settled)
    assert [one for one in (await look_for(stores, user.id)).checks if one.found] == []
    later = await records.recent_faces(10, camera=camera)
    assert {one.match.user_id for one in later} == {None}
    assert (await fecapass("erase", email, "--yes"))[0] == 1
    code, output, errors = await fecapass("erase", str(user.id), "--dry-run", "--json")
    assert code == 0, errors
    assert sum(check["found"] for check in json.loads(output)["checks"]) == 0


async def _longer(listed, length):
    return len(listed) >= length
