"""Users, photos, faces and visits that people correct, on the real stores."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from msgspec import structs

from agents.galleries import Galleries
from agents.identify.identify_stage import Identify, Policies
from domain.decisions.corrections import CorrectionKind
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.matching import MatchPolicy
from domain.events import DetectedFace, DetectedFaces, MatchKind, utc_now
from domain.people.stored_corrections import CorrectionRequest
from domain.personal_data import Author
from domain.store_rows import Sighting
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json, pack, unpack
from tests.contract.builders import NOON, an_event
from tests.contract.stored_people import the_result
from tests.contract.stored_visits import a_change, a_partition, a_visit, ended, face_of
from tests.stored_records import commit_results

ME = Author("cli:test", "request-1")
NOT, IS = CorrectionKind.NOT_USER, CorrectionKind.IS_USER
MERGE, SPLIT, OUT = CorrectionKind.MERGE, CorrectionKind.SPLIT, CorrectionKind.PHOTO_OUT


class Broker:
    def __init__(self):
        self.sent = []

    async def send_all(self, messages):
        self.sent += messages

    def matches(self):
        return [
            (dict(one.headers)["ce_id"].decode(), match_from_json(one.value)) for one in self.sent
        ]


async def a_photo(world, user, *, event=None, model=None):
    """An enrolled photo; its face."""
    stored = world.stored
    model = model or stored.model
    result = the_result(event or an_event(), model, user_id=user)
    (row,) = result.faces
    match = structs.replace(row.match, kind=MatchKind.ENROLLED, decision=None, similarity=None)
    result = structs.replace(result, faces=(structs.replace(row, match=match),))
    await stored.vectors.enrol(match.face_id, user, model, stored.a_vector(), NOON)
    await commit_results(stored.records, [result])
    return match.face_id


async def a_sighting(world, user, *, camera=None, seconds=0, decision=None, looks=None):
    """A face that a camera saw, with its embedding: ``looks``, as bytes."""
    stored = world.stored
    result = the_result(an_event(camera, seconds=seconds), stored.model, user_id=user)
    (row,) = result.faces
    if decision is not None:
        row = structs.replace(row, match=structs.replace(row.match, decision=decision))
        result = structs.replace(result, faces=(row,))
    match = row.match
    embedding = stored.a_vector() if looks is None else np.frombuffer(looks, np.float32)
    sighting = Sighting(face_id=match.face_id, user_id=user, embedding=embedding, captured_at=NOON)
    await stored.vectors.add_sightings(stored.model, [sighting])
    await commit_results(stored.records, [result])
    return match


def request(kind, user, **fields):
    return CorrectionRequest(kind=kind, author=ME, user_id=user, **fields)


async def row(world, statement, *values):
    async with world.stored.records._connection("test") as connection:
        found = await connection.fetchrow(statement, *values)
        return None if found is None else dict(found)


async def face(world, face_id):
    found = await row(
        world, "SELECT user_id, decision, kind, similarity, correction_id FROM faces WHERE id = $1",
        face_id,
    )  # fmt: skip
    async with world.stored.vectors._connection("test") as connection:
        linked = await connection.fetchrow(
            "SELECT user_id, set_aside_at FROM face_embeddings WHERE face_id = $1", face_id
        )
    return SimpleNamespace(**found, linked=linked["user_id"], set_aside=linked["set_aside_at"])


async def gallery(world):
    """The templates that workers load, byte for byte."""
    return {
        user.hex: vector.tobytes()
        async for chunk in world.stored.vectors.load(world.stored.model)
        for user, vector in zip(chunk.user_ids, chunk.embeddings, strict=True)
    }


async def announced(world):
    async with world.messages.unsent(100) as changes:
        return list(changes)


async def follow(world):
    while await world.follower.follow_one():
        pass


async def active_vetoes(world):
    return {(veto.face_id, veto.user_id) for veto in await world.vetoes.vetoes()}


async def a_stored_visit(world, user, seen, *, is_ended=True):
    camera = seen[0].camera_id
    faces = [face_of(one) for one in seen]
    visit = a_visit(camera, faces, user_id=user, similarity=0.8)
    visit = ended(visit) if is_ended else visit
    await world.visits.commit([a_change(camera, faces, visit, partition=a_partition())])
    return visit


@contextmanager
def identify(world, *, poll=3600.0):
    """A worker; its copy of the gallery is as it was when it was loaded, unless it looks sooner."""
    with ThreadPoolExecutor(1) as executor:
        yield Identify(
            world.stores,
            Galleries(world.stored.vectors, poll=poll, max_age=3600.0),
            world.broker,
            Topics(""),
            policies=Policies(
                match=lambda _: MatchPolicy(0.5, 0.05), enrolment=EnrolmentPolicy(0.0, 0.0)
            ),
            executor=executor,
        )


def detected(world, embedding, *, event, **fields):
    """A message with one face that looks like this; the face."""
    found = DetectedFace(
        box=(1, 2, 30, 40), landmarks=tuple(map(float, range(10))), score=0.9, quality=0.9,
        crop=b"\xff\xd8\xffcrop", embedding=embedding, **fields,
    )  # fmt: skip
    faces = DetectedFaces(
        event=event, model=world.stored.model, width=64, height=64, faces=(found,), policy="test"
    )
    where = Partition(Topics("").detected, 0)
    message = Message(where, 0, event.key.encode(), pack(faces), (), 0.0)
    return event.face_id(world.stored.model, 0), message


def sent_again(message):
    """The same photo, sent in by a person now."""
    found = unpack(message.value)
    event = structs.replace(found.event, captured_at=utc_now())
    return replace(message, value=pack(structs.replace(found, event=event)))
