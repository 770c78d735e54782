"""The visits agent on the main database: the same visits whatever happens on the way."""

import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid5

import pytest
from msgspec import structs

from agents.visits.visits_stage import Visits
from domain.decisions.visits.stays import Lookup
from domain.events import NAMESPACE, EventKind, FaceMatch, ImageEvent, MatchKind
from domain.failures import Retry
from domain.personal_data import DataSubject
from domain.store_rows import EventResult, FaceRow, Outcome
from domain.visit_events import VisitReason, VisitState
from sinks.store_errors import StoreUnavailable
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json
from streams.contract.visit_codec import visit_from_json
from tests.contract.builders import unique
from tests.contract.stored_visits import a_partition
from tests.stored_records import commit_results
from tests.unit.domain.made_up_people import POLICY, Camera, World, user

TOPICS = Topics("")


class WorldLookup:
    """The embeddings and the gallery of made-up people."""

    def __init__(self, world):
        self.world = world
        self.erased = set()

    def forget_users(self, users):
        self.erased |= set(users)
        self.world.enrolled = ()

    async def embeddings(self, faces):
        known = self.world.embeddings
        return {face_id: known[face_id] for _, face_id in faces if face_id in known}

    async def know(self, users):
        """There are no copies that could be behind."""

    def with_embeddings(self, embeddings):
        return Lookup(embeddings, self.world.decide)


class Broker:
    """Keeps what is sent; fails at times, before or after it has the messages."""

    def __init__(self, chance=None):
        self.sent = []
        self.chance = chance

    async def send_all(self, messages):
        fails = self.chance is not None and self.chance.random() < 0.2
        if fails and self.chance.random() < 0.5:
            raise Retry("the broker did not accept a message")
        self.sent += messages
        if fails:
            raise Retry("the broker did not answer")

    def visits(self):
        """What a consumer that leaves out repetitions reads, by camera in order."""
        found = defaultdict(dict)
        for one in self.sent:
            headers = dict(one.headers)
            visit = visit_from_json(one.value)
            again = found[visit.camera_id].setdefault(headers["ce_id"], (headers["ce_type"], visit))
            assert again[1] == visit, "one name, two messages"
        return {camera: list(messages.values()) for camera, messages in found.items()}


class NoCache:
    """A cache that is unavailable."""

    async def remember(self, _visits):
        raise StoreUnavailable("Redis", "remember", "no answer")


class Unsteady:
    """The visits in the main database; at times a commit is done and not answered."""

    def __init__(self, visits, chance):
        self._visits = visits
        self._chance = chance

    def __getattr__(self, name):
        return getattr(self._visits, name)

    async def commit(self, changes):
        written = await self._visits.commit(changes)
        if self._chance.random() < 0.1:
            raise StoreUnavailable("Postgres", "commit visits", "no answer")
        return written


@contextmanager
def visits_stage(visits, world, broker):
    with ThreadPoolExecutor(1) as executor:
        yield Visits(
            visits,
            WorldLookup(world),
            NoCache(),
            broker,
            TOPICS,
            policy=lambda _: POLICY,
            executor=executor,
        )


def match_of(face, camera):
    return FaceMatch(
        face_id=face.face_id,
        event_id=face.event_id,
        camera_id=camera,
        captured_at=face.at,
        box=(0, 0, 50, 50),
        score=0.9,
        quality=face.quality,
        user_id=face.user_id,
        similarity=face.similarity,
        runner_up_similarity=None,
        model=face.model,
        crop_key=f"crops/{camera}/{face.face_id}.jpg" if face.has_crop else None,
        kind=MatchKind.FRAME,
        decision="matched"
        if face.user_id
        else "below_threshold"
        if face.reliable
        else "unreliable",
        track_id=face.track_id,
        fresh=face.fresh,
    )


def message(match, partition, offset):
    where = Partition(TOPICS.matches, partition)
    return Message(where, offset, match.camera_id.encode(), match_to_json(match), (), 0.0)


async def store_faces(records, faces, camera):
    """As identify workers do it, all faces of a frame at once."""
    async with records._connection("test") as connection:
        await connection.execute(
            "INSERT INTO users (id, email) SELECT id, id || '@example.com' "
            "FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING",
            [user(number) for number in range(3)],
        )
    frames = defaultdict(list)
    for face in faces:
        frames[face.frame].append(face)
    results = []
    for frame, group in frames.items():
        rows = tuple(
            FaceRow(
                match=match_of(face, camera), index=index, landmarks=tuple(map(float, range(10)))
            )
            for index, face in enumerate(group)
        )
        event = ImageEvent(
            kind=EventKind.FRAME,
            source=f"//{camera}",
            id=frame.event_id,
            key=camera,
            captured_at=frame.at,
        )
        results.append(
            EventResult(
                event=event,
                model=group[0].model,
                width=640,
                height=480,
                outcome=Outcome.FACES,
                face_count=len(rows),
                faces=rows,
            )
        )
    await commit_results(records, results)
    await records.mark_announced([one.key for one in results])


def story(seed):
    """Some people who come and go, for this seed alone, and a last one much later."""
    world, chance = World(noise=0.4), random.Random(seed)
    faces = []
    for number in range(4):
        begin = chance.uniform(0, 30)
        stay = world.stay(chance.randrange(5), begin, begin + chance.uniform(0, 12), 2, number)
        for index in range(len(stay)):
            if chance.random() < 0.1:
                stay[index] = world.face(number, begin + index / 2, track=number, looks_like=2)
        faces += stay
    faces.append(world.face(4, 500, track=99))
    own = {face.face_id: uuid5(NAMESPACE, f"{seed} {face.face_id}") for face in faces}
    world.embeddings |= {
        own[face_id]: vector for face_id, vector in world.embeddings.items() if face_id in own
    }
    renamed = [structs.replace(face, face_id=own[face.face_id]) for face in faces]
    return world, sorted(renamed, key=lambda face: (face.at, face.face_id)), chance


async def stored_rows(records, camera):
    async with records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT visit_id, revision, state, user_id, started_at, last_seen_at, faces, reason "
            "FROM visits WHERE camera_id = $1 AND revision > 0",
            camera,
        )
        faces = await connection.fetch(
            "SELECT face_id, visit_id FROM visit_faces WHERE camera_id = $1", camera
        )
    return (
        {row["visit_id"]: tuple(row.values()) for row in rows},
        {row["face_id"]: row["visit_id"] for row in faces},
    )


def expected_rows(camera):
    """The same of what the pure functions say."""
    return {
        visit.visit_id: (
            visit.visit_id,
            visit.revision,
            visit.state,
            visit.user_id,
            visit.started_at,
            visit.last_seen_at,
            visit.faces,
            visit.reason,
        )
        for visit in camera.rows.values()
        if visit.revision
    }


def told(messages):
    return [(kind, structs.replace(visit, camera_id="", crop_key=None)) for kind, visit in messages]


@pytest.mark.parametrize("seed", range(12))
async def test_batches_repetitions_restarts_and_failures_change_nothing(records, visits, seed):
    camera, partition = unique("camera"), a_partition()
    world, faces, chance = story(seed)
    await store_faces(records, faces, camera)
    expected = Camera(world).see(faces)
    broker = Broker(chance)
    unsteady = Unsteady(visits, chance)
    messages = [
        message(match_of(face, camera), partition, offset) for offset, face in enumerate(faces)
    ]
    done = 0
    with ThreadPoolExecutor(1) as executor:

        def new_stage():
            return Visits(
                unsteady,
                WorldLookup(world),
                NoCache(),
                broker,
                TOPICS,
                policy=lambda _: POLICY,
                executor=executor,
            )

        stage = new_stage()
        await stage.assigned([messages[0].partition])
        while done < len(messages):
            size = chance.randint(1, 20)
            again = chance.randint(0, min(done, 10))
            batch = messages[done - again : done + size]
            if chance.random() < 0.2:
                stage = new_stage()
                await stage.assigned([messages[0].partition])
            try:
                assert await stage.process(batch) == {}
            except Retry:
                continue
            done += size
        broker.chance = None
        await new_stage_until_sent(new_stage, messages)
    rows, placed = await stored_rows(records, camera)
    assert rows == expected_rows(expected)
    assert placed == expected.faces
    sent = broker.visits()[camera]
    assert told(sent) == [
        (one.type.encode(), structs.replace(one.visit, camera_id="", announced_at=None))
        for one in expected.messages
    ]


async def new_stage_until_sent(new_stage, messages):
    """Have what was committed and not sent sent by another worker."""
    while True:
        stage = new_stage()
        try:
            await stage.assigned([messages[0].partition])
            await stage.process(messages[-3:])
        except Retry:
            continue
        return


async def test_of_two_workers_with_one_camera_both_go_on_from_what_is_stored(records, visits):
    camera, partition = unique("camera"), a_partition()
    world, faces, _ = story(101)
    await store_faces(records, faces, camera)
    expected = Camera(world).see(faces)
    broker = Broker()
    with (
        visits_stage(visits, world, broker) as one,
        visits_stage(visits, world, broker) as other,
    ):
        messages = [message(match_of(face, camera), partition, 0) for face in faces]
        for stage in (one, other):
            await stage.assigned([messages[0].partition])
        for number, start in enumerate(range(0, len(messages), 5)):
            await (one, other)[number % 2].process(messages[start : start + 5])
    rows, placed = await stored_rows(records, camera)
    assert (rows, placed) == (expected_rows(expected), expected.faces)
    assert len(broker.sent) == len(expected.messages)


async def test_faces_of_a_merged_visit_move_also_if_they_are_older(records, visits):
    camera, partition = unique("camera"), a_partition()
    world = World(noise=0.1)
    faces = [
        *world.stay(0, 0, 3, 2, track=1),
        *(world.face(9, 4 + n, track=2, quality=0.1) for n in range(10)),
        *(world.face(0, 14 + n / 2, track=2, quality=0.9) for n in range(20)),
    ]
    own = {face.face_id: uuid5(NAMESPACE, f"{camera} {face.face_id}") for face in faces}
    world.embeddings |= {own[face_id]: world.embeddings[face_id] for face_id in own}
    faces = [structs.replace(face, face_id=own[face.face_id]) for face in faces]
    await store_faces(records, faces, camera)
    expected = Camera(world).see(faces)
    with visits_stage(visits, world, Broker()) as stage:
        for face in faces:
            await stage.process([message(match_of(face, camera), partition, 0)])
    rows, placed = await stored_rows(records, camera)
    assert len(set(placed.values())) == 1
    assert (rows, placed) == (expected_rows(expected), expected.faces)


async def test_a_user_who_is_erased_is_an_unknown_in_what_follows(records, visits):
    camera, partition = unique("camera"), a_partition()
    world = World(noise=0.2, enrolled=(0,))
    stay = world.stay(0, 0, 6, 5, track=1)
    await store_faces(records, stay, camera)
    erased = UUID(int=10**6 + a_partition())
    async with records._connection("test") as connection:
        await connection.execute(
            "INSERT INTO users (id, email) VALUES ($1, $2)", erased, f"{erased.hex}@example.com"
        )
    messages = [
        message(structs.replace(match_of(face, camera), user_id=erased), partition, 0)
        for face in stay
    ]
    broker = Broker()
    with visits_stage(visits, _naming(world, erased), broker) as stage:
        await stage.assigned([messages[0].partition])
        await stage.process(messages[:15])
        rows, _ = await stored_rows(records, camera)
        assert {row[3] for row in rows.values()} == {erased}
        await records.erase(DataSubject(erased))
        # The copy of the gallery names the user still.
        await stage.process(messages[15:])
    rows, placed = await stored_rows(records, camera)
    assert {row[3] for row in rows.values()} == {None}
    assert len(placed) == len(stay)
    async with records._connection("test") as connection:
        checkpoints = await connection.fetch(
            "SELECT checkpoint FROM visit_cameras WHERE camera_id = $1", camera
        )
    assert str(erased).encode() not in b"".join(row[0] or b"" for row in checkpoints)


def _naming(world, user_id):
    """The world, in which the first person has this id."""
    plain = world.decide

    def decide(model, probe):
        decision = plain(model, probe)
        return decision if decision.user_id is None else _with_user(decision, user_id)

    world.decide = decide
    return world


def _with_user(decision, user_id):
    return type(decision)(
        user_id, decision.similarity, decision.runner_up_similarity, decision.reason
    )


async def test_time_alone_begins_and_ends_visits(records, visits):
    camera, partition = unique("camera"), a_partition()
    world = World(enrolled=())
    (face,) = [
        structs.replace(one, face_id=uuid5(NAMESPACE, camera)) for one in world.stay(0, 0, 0, 1)
    ]
    world.embeddings[face.face_id] = world.person(0)
    await store_faces(records, [face], camera)
    broker = Broker()
    with visits_stage(visits, world, broker) as stage:
        where = Partition(TOPICS.matches, partition)
        await stage.assigned([where])
        await stage.process([message(match_of(face, camera), partition, 0)])
        assert broker.sent == []
        for seconds, state in ((2.1, VisitState.OPEN), (10.1, VisitState.ENDED)):
            await stage.wait(timedelta(seconds=seconds))
            assert visit_from_json(broker.sent[-1].value).state is state
        assert visit_from_json(broker.sent[-1].value).reason == VisitReason.SILENT
        await stage.wait(timedelta(seconds=100))
        assert len(broker.sent) == 2
    rows, placed = await stored_rows(records, camera)
    assert len(rows) == len(placed) == 1


async def test_faces_that_are_in_a_batch_twice_count_once(records, visits):
    """An identify worker that was stopped has announced all of them again."""
    camera, partition = unique("camera"), a_partition()
    world = World(noise=0.2)
    own = [
        structs.replace(one, face_id=uuid5(NAMESPACE, f"{camera} {one.at}"))
        for one in world.stay(0, 0, 3 * POLICY.grace, 1, track=1)
    ]
    world.embeddings |= {face.face_id: world.person(0) for face in own}
    await store_faces(records, own, camera)
    with visits_stage(visits, world, Broker()) as stage:
        await stage.assigned([Partition(TOPICS.matches, partition)])
        await stage.process([message(match_of(face, camera), partition, 0) for face in own * 2])
    stored = await visits.camera(camera)
    assert [(one.faces, one.late) for one in stored.visits] == [(len(own), 0)]


async def test_a_late_face_joins_a_visit_that_is_over_for_good(records, visits):
    camera, partition = unique("camera"), a_partition()
    world = World(noise=0.2)
    own = [
        structs.replace(one, face_id=uuid5(NAMESPACE, f"{camera} {one.at}"))
        for one in [*world.stay(0, 0, 5, 1, track=1), world.face(1, 500, track=2)]
    ]
    world.embeddings |= {face.face_id: world.person(face.track_id.int - 1001) for face in own}
    late = own.pop(3)
    await store_faces(records, [*own, late], camera)
    broker = Broker()
    with visits_stage(visits, world, broker) as stage:
        await stage.assigned([Partition(TOPICS.matches, partition)])
        await stage.process([message(match_of(face, camera), partition, 0) for face in own])
        await stage.process([message(match_of(late, camera), partition, 0)] * 2)
    rows, placed = await stored_rows(records, camera)
    first = min(rows.values(), key=lambda row: row[4])
    assert first[6] == 6
    assert placed[late.face_id] == first[0]


async def test_a_late_face_joins_no_visit_whose_faces_may_yet_belong_to_another_one(
    records, visits
):
    """Nor does the database find it. An earlier face shows that it is one visit with the first."""
    camera, partition = unique("camera"), a_partition()
    world = World(noise=0.2)
    own = [
        structs.replace(one, face_id=uuid5(NAMESPACE, f"{camera} {one.at}"))
        for one in [
            *world.stay(0, 0, 5, 1),
            world.face(0, 36, track=1),
            world.face(0, 30.5, track=1),
            world.face(0, 34),
            world.face(0, 37),
        ]
    ]
    world.embeddings |= {face.face_id: world.person(0) for face in own}
    await store_faces(records, own, camera)
    late = own[7].face_id
    with visits_stage(visits, world, Broker()) as stage:
        await stage.assigned([Partition(TOPICS.matches, partition)])
        for faces in (own[:7], own[7:8], own[8:]):
            rows, placed = await stored_rows(records, camera)
            assert late not in placed
            await stage.process([message(match_of(face, camera), partition, 0) for face in faces])
    rows, placed = await stored_rows(records, camera)
    first = min(rows.values(), key=lambda row: row[4])
    assert len(rows) == 2
    assert first[6] == 9
    assert placed == {face.face_id: first[0] for face in own if face.face_id != late}
