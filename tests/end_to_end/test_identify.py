"""Any order and any repetition of the same events leaves the same rows, objects and keys."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client import REGISTRY

from agents.galleries import Galleries
from agents.identify.enrolments import compares_nothing
from agents.identify.identify_stage import Identify, Policies
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.matching import MatchPolicy
from domain.events import DetectedFace, DetectedFaces, EventKind, ImageEvent
from domain.failures import Reject, Retry
from domain.refusals.unreadable_uploads import given_up
from domain.upload_answers import decode_answer
from sinks.cache.answer_waiter import answer_key
from sinks.stores import Stores
from streams.clients.durable_producer import Publisher
from streams.contract.message import Message, Partition
from streams.contract.value_codec import match_from_json, pack
from tests.end_to_end.conftest import listening
from tests.stored_records import ledger_row, stored_user

DIMENSION = 16
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICY = MatchPolicy(threshold=0.4, margin=0.05)
ENROLMENT = EnrolmentPolicy(0.35, 40)


def face(seed, *, near=None):
    """A face whose embedding is random, or close to another seed's."""
    random = np.random.default_rng(seed)
    vector = random.normal(size=DIMENSION)
    if near is not None:
        vector = np.random.default_rng(near).normal(size=DIMENSION) + 0.2 * vector
    vector /= np.linalg.norm(vector)
    return DetectedFace(
        box=(10.0, 10.0, 80.0, 90.0),
        landmarks=tuple(float(number) for number in range(10)),
        score=0.9,
        quality=0.8,
        embedding=vector.astype("<f4").tobytes(),
        crop=b"\xff\xd8\xff" + random.bytes(16),
    )


def delivery(found, offset=0):
    return Message(Partition("faces.detected", 0), offset, b"key", pack(found), (), 0.0)


@asynccontextmanager
async def identify(
    records,
    vectors,
    crops,
    recents,
    producer,
    topics,
    prepared,
    enrolment=ENROLMENT,
    *,
    frames_processed=False,
    likeness=compares_nothing,
):
    """The identify agent without Kafka in front of it, on all its real stores."""
    with ThreadPoolExecutor(1) as executor:
        yield Identify(
            Stores(crops=crops, vectors=vectors, records=records, recents=recents),
            Galleries(vectors, poll=1.0, max_age=2.0),
            Publisher(producer),
            topics,
            policies=Policies(match=lambda _: POLICY, enrolment=enrolment, likeness=likeness),
            executor=executor,
            frames_processed=frames_processed,
        )


@pytest.fixture
async def agent(records, vectors, crops, recents, producer, topics, prepared):
    async with identify(records, vectors, crops, recents, producer, topics, prepared) as one:
        yield one


@pytest.fixture(scope="module")
async def known(vectors, records):
    """A model with two people in its gallery; every example uses the same."""
    model = f"order-{uuid4().hex[:8]}"
    await vectors.ensure_model(model, DIMENSION)
    people = {}
    for seed in (1, 2):
        user = await stored_user(records, f"{uuid4().hex}@example.com", None)
        await vectors.enrol(
            face_id=uuid4(),
            user_id=user.id,
            model=model,
            embedding=np.frombuffer(face(seed).embedding, "<f4"),
            captured_at=NOON,
        )
        people[seed] = user.id
    return model, people


async def stored(records, vectors, crops, events, model):
    """All that the stores hold of these events, under names that do not depend on the run."""
    world = {}
    for number, event in enumerate(events):
        ledger = await ledger_row(records, event.uuid, model)
        faces = await records.faces_of(event.uuid, model)
        world[number] = {
            "outcome": ledger and (ledger.outcome, ledger.face_count, ledger.announced),
            "rows": [(row.index, row.match.user_id, row.match.box) for row in faces],
            "similarities": [row.match.similarity or 0.0 for row in faces],
            "ids": [row.match.face_id == event.face_id(model, row.index) for row in faces],
            "crops": [await crops.get(row.match.crop_key) for row in faces],
            "embeddings": await embeddings(vectors, [row.match.face_id for row in faces]),
        }
    return world


def similarities(world):
    """Takes them out of what is stored, face by face."""
    return [one for event in world.values() for one in event.pop("similarities")]


async def embeddings(vectors, face_ids):
    async with vectors._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT face_id, user_id, kind, embedding::text FROM face_embeddings"
            " WHERE face_id = ANY($1)",
            face_ids,
        )
    by_id = {row["face_id"]: (row["user_id"], row["kind"], row["embedding"]) for row in rows}
    return [by_id.get(face_id) for face_id in face_ids]


event_shapes = st.lists(
    st.lists(st.tuples(st.integers(10, 10_000), st.sampled_from([None, 1, 2])), max_size=3),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=event_shapes, data=st.data())
async def test_any_order_and_repetition_leaves_the_same(
    agent, known, records, vectors, crops, shapes, data
):
    model, _ = known

    def fresh_events():
        run = uuid4().hex
        return [
            ImageEvent(
                kind=EventKind.FRAME,
                source="camera/order",
                id=f"{run}-{number}",
                key=f"order-{run}",
                captured_at=NOON + timedelta(seconds=number),
            )
            for number in range(len(shapes))
        ]

    def detections(events):
        return [
            DetectedFaces(
                event=event,
                model=model,
                width=640,
                height=480,
                faces=tuple(face(seed, near=near) for seed, near in shape),
            )
            for event, shape in zip(events, shapes, strict=True)
        ]

    once, often = fresh_events(), fresh_events()
    await agent.process([delivery(found) for found in detections(once)])
    messages = detections(often)
    order = data.draw(
        st.permutations(messages * data.draw(st.integers(1, 3), label="copies")), label="order"
    )
    while order:
        size = data.draw(st.integers(1, len(order)), label="batch")
        batch, order = order[:size], order[size:]
        assert await agent.process([delivery(found) for found in batch]) == {}
    expected = await stored(records, vectors, crops, once, model)
    repeated = await stored(records, vectors, crops, often, model)
    # Of one probe and of several at once the product is summed in another order.
    assert similarities(repeated) == pytest.approx(similarities(expected), abs=1e-5)
    assert repeated == expected
    for number, shape in enumerate(shapes):
        assert len(expected[number]["rows"]) == len(shape)
        assert all(expected[number]["ids"])
        assert None not in expected[number]["embeddings"]


async def test_the_first_result_wins_whole(agent, known, records, crops, vectors):
    """A frame detected again, on a device with other boxes and one more face, adds nothing."""
    model, _ = known
    event = ImageEvent(
        kind=EventKind.FRAME,
        source="camera/first",
        id=uuid4().hex,
        key="first",
        captured_at=NOON,
    )

    def result(*faces):
        return delivery(DetectedFaces(event=event, model=model, width=640, height=480, faces=faces))

    first, second = face(21), face(22)
    await agent.process([result(first)])
    before = await stored(records, vectors, crops, [event], model)
    await agent.process([result(second, first)])
    await agent.process([result(second, first), result(first)])
    assert await stored(records, vectors, crops, [event], model) == before
    assert before[0]["crops"] == [first.crop]


async def test_the_slower_of_two_workers_overwrites_nothing(agent, known, records, crops, vectors):
    """Two workers have one event at once: a message without key, or a lost partition."""
    model, _ = known
    event = ImageEvent(
        kind=EventKind.FRAME, source="camera/race", id=uuid4().hex, key="race", captured_at=NOON
    )

    def result(*faces):
        return delivery(DetectedFaces(event=event, model=model, width=640, height=480, faces=faces))

    first, second, third = face(61), face(62), face(63)
    async with asyncio.TaskGroup() as group:
        for faces in ([first], [second, third], [third, first]):
            group.create_task(agent.process([result(*faces)]))
    stored_now = (await stored(records, vectors, crops, [event], model))[0]
    winners = {1: [[first.crop]], 2: [[second.crop, third.crop], [third.crop, first.crop]]}
    count = len(stored_now["rows"])
    assert stored_now["crops"] in winners[count]
    assert stored_now["outcome"] == ("faces", count, True)
    extra = [event.face_id(model, index) for index in range(count, 2)]
    assert await embeddings(vectors, extra) == [None] * len(extra)
    by_crop = {one.crop: one.embedding for one in (first, second, third)}
    held = await embedding_arrays(vectors, [event.face_id(model, n) for n in range(count)])
    for crop, embedding in zip(stored_now["crops"], held, strict=True):
        np.testing.assert_allclose(embedding, np.frombuffer(by_crop[crop], "<f4"), atol=1e-6)


async def embedding_arrays(vectors, face_ids):
    return [
        np.array([float(number) for number in text.strip("[]").split(",")])
        for _, _, text in await embeddings(vectors, face_ids)
    ]


async def test_a_person_deleted_before_the_commit_is_not_announced(
    agent, known, records, vectors, topics, prepared
):
    """The row is an unknown's then; the event and the listing must not name the person."""
    model, _ = known
    user = await stored_user(records, f"{uuid4().hex}@example.com", None)
    await vectors.enrol(
        face_id=uuid4(),
        user_id=user.id,
        model=model,
        embedding=np.frombuffer(face(71).embedding, "<f4"),
        captured_at=NOON,
    )
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    event = ImageEvent(
        kind=EventKind.FRAME,
        source="camera/gone",
        id=uuid4().hex,
        key=uuid4().hex,
        captured_at=NOON,
    )
    found = DetectedFaces(
        event=event, model=model, width=640, height=480, faces=(face(72, near=71),)
    )
    async with listening(prepared, topics.matches) as matches:
        await agent.process([delivery(found)])
        (message,) = await matches.messages(1, lambda one: one.key == event.key.encode())
    (row,) = await records.faces_of(event.uuid, model)
    assert row.match.user_id is None
    assert match_from_json(message.value).user_id is None


async def test_a_frame_without_faces_stays_without(agent, known, records, crops, vectors):
    model, _ = known
    event = ImageEvent(
        kind=EventKind.FRAME, source="camera/none", id=uuid4().hex, key="none", captured_at=NOON
    )

    def result(*faces):
        return delivery(DetectedFaces(event=event, model=model, width=640, height=480, faces=faces))

    await agent.process([result()])
    await agent.process([result(face(31))])
    assert await records.faces_of(event.uuid, model) == []
    ledger = await ledger_row(records, event.uuid, model)
    assert (ledger.outcome, ledger.face_count) == ("no_face", 0)


@pytest.mark.parametrize("kind", [EventKind.FRAME, EventKind.SEARCH])
async def test_what_was_committed_but_not_announced_is_announced_on_redelivery(
    agent, known, records, prepared, topics, kind
):
    """The worker ended between the commit in Postgres and the broker's acknowledgement."""
    model, people = known
    event = ImageEvent(
        kind=kind, source="camera/late", id=uuid4().hex, key=uuid4().hex, captured_at=NOON
    )
    found = DetectedFaces(
        event=event, model=model, width=640, height=480, faces=(face(41, near=1), face(42))
    )
    async with listening(prepared, topics.matches) as matches:
        await agent.process([delivery(found)])
        wanted = lambda message: message.key == event.key.encode()  # noqa: E731
        told = [match_from_json(one.value) for one in await matches.messages(2, wanted)]
        async with records._connection("test") as connection:
            await connection.execute(
                "UPDATE events SET announced_at = NULL WHERE event_uuid = $1", event.uuid
            )
        await agent.process([delivery(found)])
        again = [match_from_json(one.value) for one in await matches.messages(2, wanted)]
    by_face = {match.face_id: match for match in told}
    assert {match.face_id: match for match in again} == by_face
    assert {match.user_id for match in told} == {people[1], None}
    assert (await ledger_row(records, event.uuid, model)).announced


async def test_each_frame_is_said_to_be_processed_also_without_a_face(
    records, vectors, crops, recents, producer, topics, prepared, known
):
    """And again if the worker may have ended before the broker had the message."""
    model, _ = known
    camera = uuid4().hex
    kinds = {"two": EventKind.FRAME, "none": EventKind.FRAME, "search": EventKind.SEARCH}
    events = {
        name: ImageEvent(kind=kind, source=f"camera/{name}", id=name, key=camera, captured_at=NOON)
        for name, kind in kinds.items()
    }
    faces = {"two": (face(81), face(82)), "none": (), "search": (face(83),)}
    batch = [
        delivery(
            DetectedFaces(event=event, model=model, width=640, height=480, faces=faces[name]),
            offset,
        )
        for offset, (name, event) in enumerate(events.items())
    ]
    parts = (records, vectors, crops, recents, producer, topics, prepared)
    async with (
        identify(*parts, frames_processed=True) as stage,
        identify(*parts) as silent,
        listening(prepared, topics.processed) as processed,
    ):
        wanted = lambda message: message.key == camera.encode()  # noqa: E731
        await stage.process(batch)
        told = await processed.messages(2, wanted)
        await stage.process(batch)  # no message is repeated without need
        for each in (silent, stage):
            async with records._connection("test") as connection:
                await connection.execute(
                    "UPDATE events SET announced_at = NULL WHERE key = $1", camera
                )
            await each.process(batch)
        again = await processed.messages(2, wanted)
        await producer.send_and_wait(topics.processed, b"{}", key=camera.encode())
        (last,) = await processed.messages(1, wanted)
    assert last.value == b"{}", "four messages, and no more"
    for messages in (told, again):
        values = {one["event_id"]: one for one in map(json.loads, (m.value for m in messages))}
        assert {name: one["faces"] for name, one in values.items()} == {"two": 2, "none": 0}
        for message in messages:
            headers = dict(message.headers)
            name = headers["ce_id"].decode()
            assert headers["ce_source"] == f"camera/{name}".encode()
            assert headers["ce_type"] == b"fecapass.frame.processed"
            value = values[name]
            assert datetime.fromisoformat(value.pop("processed_at")).tzinfo is not None
            assert value == {
                "event_id": name,
                "camera_id": camera,
                "captured_at": "2026-05-04T12:00:00Z",
                "faces": len(faces[name]),
                "width": 640,
                "height": 480,
            }


async def test_the_answer_survives_the_loss_of_redis(agent, known, records, recents, waiter):
    model, people = known
    event = ImageEvent(
        kind=EventKind.SEARCH,
        source="fecapass/uploads",
        id=uuid4().hex,
        key=uuid4().hex,
        captured_at=NOON,
    )
    found = DetectedFaces(
        event=event, model=model, width=640, height=480, faces=(face(51, near=2),)
    )
    await agent.process([delivery(found)])
    answer = decode_answer(await waiter.wait(event.key, 10))
    assert await recents._client.delete(answer_key(event.key)) == 1
    kept = await ledger_row(records, event.uuid, model)
    assert decode_answer(kept.answer) == answer
    assert answer.faces[0].user_id == people[2]
    assert isinstance(answer.faces[0].face_id, UUID)
    await agent.process([delivery(found)])
    assert decode_answer(await waiter.wait(event.key, 10)) == answer


@pytest.mark.parametrize("kind", [EventKind.SEARCH, EventKind.ENROL])
async def test_an_upload_that_becomes_a_dead_letter_here_fails_until_a_replay_succeeds(
    agent, known, records, kind, waiter
):
    model, people = known
    upload = uuid4().hex
    subject = str(people[1]) if kind is EventKind.ENROL else None
    event = ImageEvent(
        kind=kind, source="t", id=upload, key=upload, captured_at=NOON, subject=subject
    )
    found = DetectedFaces(event=event, model=model, width=640, height=480, faces=(face(1),))
    await agent.notify_caller(delivery(found), Reject("store_rejected", "no such text"))
    answer = decode_answer(await waiter.wait(upload, 1))
    assert (answer.status, answer.code) == ("failed", "store_rejected")
    assert (await records.upload(event.uuid)).outcome == "failed"

    await agent.process([delivery(found)])
    expected = "searched" if kind is EventKind.SEARCH else "enrolled"
    assert decode_answer(await waiter.wait(upload, 1)).status == expected
    row = await records.upload(event.uuid)
    assert (row.outcome, row.announced) == (expected, True)

    await agent.notify_caller(delivery(found), Reject("store_rejected", "reported late"))
    assert (await records.upload(event.uuid)).outcome == expected


@pytest.mark.parametrize("order", ["fs", "sf", "fsf", "ffs"])
async def test_in_one_batch_too_a_replay_takes_the_place_of_the_failure(
    agent, known, records, order
):
    """Identify may lag: the failure (f) that detect reported, and the replay's success (s)."""
    upload = uuid4().hex
    event = ImageEvent(kind=EventKind.SEARCH, source="t", id=upload, key=upload, captured_at=NOON)
    found = DetectedFaces(event=event, model=known[0], width=640, height=480, faces=(face(1),))
    failed = structs.replace(found, faces=(), refusal=given_up("access_denied"))
    fates = {"f": failed, "s": found}
    await agent.process([delivery(fates[letter], offset) for offset, letter in enumerate(order)])
    assert (await records.upload(event.uuid)).outcome == "searched"


async def test_the_result_of_a_later_release_is_not_changed(agent, known, records):
    """Workers of two releases run side by side during an upgrade."""
    event = ImageEvent(kind=EventKind.FRAME, source="t", id=uuid4().hex, key="c", captured_at=NOON)
    found = DetectedFaces(event=event, model=known[0], width=640, height=480, faces=())
    await agent.process([delivery(found)])
    async with records._connection("test") as connection, constraint_off(connection):
        await connection.execute(
            "UPDATE events SET outcome = 'postponed', announced_at = NULL WHERE event_uuid = $1",
            event.uuid,
        )
        try:
            await agent.process([delivery(found)])
            row = await ledger_row(records, event.uuid, known[0])
            assert (row.outcome, row.announced) == ("other", False)
        finally:
            await connection.execute("DELETE FROM events WHERE event_uuid = $1", event.uuid)


@asynccontextmanager
async def constraint_off(connection):
    """The list of outcomes is not checked."""
    definition = await connection.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'events_outcome'"
    )
    await connection.execute("ALTER TABLE events DROP CONSTRAINT events_outcome")
    try:
        yield
    finally:
        await connection.execute(f"ALTER TABLE events ADD CONSTRAINT events_outcome {definition}")


async def test_for_a_frame_or_garbage_no_caller_is_notified(agent, known, records):
    event = ImageEvent(kind=EventKind.FRAME, source="t", id=uuid4().hex, key="c", captured_at=NOON)
    found = DetectedFaces(event=event, model=known[0], width=640, height=480, faces=())
    await agent.notify_caller(delivery(found), Reject("store_rejected", "no"))
    assert await records.upload(event.uuid) is None
    garbage = Message(Partition("faces.detected", 0), 0, b"k", b"\xff", (), 0.0)
    await agent.notify_caller(garbage, Reject("bad_encoding", "no"))


class Unreliable(Publisher):
    """A broker that is unavailable for the first announcement."""

    def __init__(self, producer):
        super().__init__(producer)
        self.failures = 1

    async def send_all(self, messages):
        if self.failures:
            self.failures -= 1
            raise Retry("away")
        await super().send_all(messages)


def counted():
    """The metrics of announced events and of duplicates."""
    names = {
        "latency": ("fecapass_end_to_end_latency_seconds_count", {}),
        "known": ("fecapass_matches_total", {"outcome": "matched"}),
        "unknown": ("fecapass_matches_total", {"outcome": "below_threshold"}),
        "uploads": ("fecapass_uploads_total", {"outcome": "searched"}),
    }
    found = {
        name: REGISTRY.get_sample_value(metric, labels) or 0.0
        for name, (metric, labels) in names.items()
    }
    dropped = [
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "fecapass_events_dropped_total"
        and sample.labels.get("reason") == "duplicate"
    ]
    return {**found, "duplicates": sum(dropped)}


@pytest.mark.parametrize("broken", ["announcement", "note of it"])
async def test_field_11_events_are_counted_when_the_second_attempt_announces_them(
    agent, known, records, producer, monkeypatch, broken
):
    """The batch comes again; its own events are no duplicates, and have a latency and matches."""
    model, _ = known

    def found(kind, *faces):
        run = uuid4().hex
        event = ImageEvent(kind=kind, source="t", id=run, key=run, captured_at=NOON)
        return DetectedFaces(event=event, model=model, width=640, height=480, faces=faces)

    batch = [
        delivery(found(EventKind.FRAME, face(41, near=1), face(42)), 0),
        delivery(found(EventKind.SEARCH, face(51, near=2)), 1),
    ]
    if broken == "announcement":
        monkeypatch.setattr(agent._announcer, "_publisher", Unreliable(producer))
    else:
        mark, failures = records.mark_announced, [Retry("away")]

        async def unreliable(keys):
            if failures:
                raise failures.pop()
            await mark(keys)

        monkeypatch.setattr(records, "mark_announced", unreliable)
    before = counted()
    with pytest.raises(Retry):
        await agent.process(batch)
    assert counted() == before
    await agent.process(batch)
    once = {"latency": 1, "known": 2, "unknown": 1, "uploads": 1, "duplicates": 0}
    assert {name: value - before[name] for name, value in counted().items()} == once
    await agent.process(batch)
    assert counted() == {
        name: before[name] + value + 2 * (name == "duplicates") for name, value in once.items()
    }


@pytest.mark.parametrize("kind", [EventKind.FRAME, EventKind.SEARCH])
@pytest.mark.parametrize("decision", ["ambiguous", "below_threshold"])
async def test_an_unknown_says_why_and_of_what_kind_it_is(
    agent, vectors, records, prepared, topics, kind, decision
):
    """Two users with one face make it ambiguous: neither unknown nor unlike all users."""
    model = f"twins-{uuid4().hex[:8]}"
    await vectors.ensure_model(model, DIMENSION)
    for _ in range(2):
        user = await stored_user(records, f"{uuid4().hex}@example.com", None)
        embedding = np.frombuffer(face(95).embedding, "<f4")
        await vectors.enrol(uuid4(), user.id, model, embedding, NOON)
    event = ImageEvent(kind=kind, source="t", id=uuid4().hex, key=uuid4().hex, captured_at=NOON)
    probe = face(96, near=95) if decision == "ambiguous" else face(97)
    async with listening(prepared, topics.matches) as matches:
        found = DetectedFaces(event=event, model=model, width=9, height=9, faces=(probe,))
        await agent.process([delivery(found)])
        (message,) = await matches.messages(1, lambda one: one.key == event.key.encode())
    told = match_from_json(message.value)
    name = "frame" if kind is EventKind.FRAME else "search"
    assert (told.user_id, told.kind, told.decision) == (None, name, decision)
    stored = [row.match for row in await records.faces_of(event.uuid, model)]
    assert stored == ([told] if kind is EventKind.FRAME else [])


@pytest.mark.parametrize("kind", [EventKind.FRAME, EventKind.SEARCH])
async def test_field_01_an_unreliable_face_matches_no_user(
    agent, known, records, prepared, topics, kind
):
    """Even right after the camera saw the person whom it resembles."""
    model, people = known
    key = uuid4().hex

    def one(reliable):
        event = ImageEvent(kind=kind, source="turned", id=uuid4().hex, key=key, captured_at=NOON)
        seen = structs.replace(face(91, near=1), reliable=reliable)
        return DetectedFaces(event=event, model=model, width=640, height=480, faces=(seen,))

    upright, turned = one(reliable=True), one(reliable=False)
    async with listening(prepared, topics.matches) as matches:
        await agent.process([delivery(upright)])
        await agent.process([delivery(turned)])
        messages = await matches.messages(2, lambda message: message.key == key.encode())
    first, second = (match_from_json(message.value) for message in messages)
    assert (first.user_id, first.decision) == (people[1], "matched")
    assert (second.user_id, second.decision) == (None, "unreliable")
    assert second.similarity == pytest.approx(first.similarity, abs=1e-6)
    if kind is EventKind.FRAME:
        (row,) = await records.faces_of(turned.event.uuid, model)
        assert (row.match.face_id, row.match.decision) == (second.face_id, "unreliable")
    else:
        answer = decode_answer((await ledger_row(records, turned.event.uuid, model)).answer)
        (found,) = answer.faces
        assert (found.user_id, found.decision) == (None, "unreliable")
        assert found.candidates[0].user_id == people[1]


async def test_field_01_an_unreliable_face_is_not_enrolled(agent, known, records, vectors):
    model, _ = known
    user = await stored_user(records, f"{uuid4().hex}@example.com", None)
    event = ImageEvent(
        kind=EventKind.ENROL,
        source="fecapass/uploads",
        id=uuid4().hex,
        key=uuid4().hex,
        captured_at=NOON,
        subject=str(user.id),
    )
    seen = structs.replace(face(92), reliable=False)
    await agent.process(
        [delivery(DetectedFaces(event=event, model=model, width=9, height=9, faces=(seen,)))]
    )
    row = await ledger_row(records, event.uuid, model)
    assert (row.outcome, decode_answer(row.answer).code) == ("refused", "unreliable_face")
    assert await records.faces_of(event.uuid, model) == []
