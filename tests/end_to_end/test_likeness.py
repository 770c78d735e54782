"""Before a template changes, the photo is compared with the templates that are there."""

import asyncio
from uuid import uuid4

import numpy as np
import pytest
from msgspec import structs

from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.likeness import LikenessPolicy
from domain.events import DetectedFaces
from domain.personal_data import Author
from domain.upload_answers import decode_answer
from domain.upload_events import enrol_event
from services.erasure import erase
from sinks.stores import Stores
from tests.contract.builders import unique
from tests.end_to_end.test_identify import DIMENSION, delivery, face
from tests.end_to_end.test_refusals import agents  # noqa: F401 - the fixture
from tests.stored_records import ledger_row, stored_user

LIKENESS = LikenessPolicy(another=0.7, own=0.3)


@pytest.fixture
def comparing(agents):  # noqa: F811 - the fixture
    """Makes identify agents that compare photos."""

    async def make(likeness=LIKENESS):
        return await agents(EnrolmentPolicy(0.1, 24), likeness=lambda _: likeness)

    return make


@pytest.fixture
async def model(vectors):
    name = unique("likeness")
    await vectors.ensure_model(name, DIMENSION)
    return name


@pytest.fixture
def people(records):
    async def make(count):
        return [await stored_user(records, f"{uuid4().hex}@example.com") for _ in range(count)]

    return make


def photo_of(user, model, seed, *, near=None, force=False, **changes):
    found = DetectedFaces(
        event=enrol_event(user.id, uuid4().bytes, force=force), model=model, width=640, height=480,
        faces=(face(seed, near=near),), policy="detect-1",
    )  # fmt: skip
    return structs.replace(found, **changes)


def with_force(found):
    return structs.replace(found, event=structs.replace(found.event, force=True))


@pytest.fixture
def answered(records):
    async def read(found):
        row = await ledger_row(records, found.event.uuid, found.model)
        return decode_answer(row.answer)

    return read


async def test_one_person_is_not_enrolled_as_two_users(comparing, model, people, answered, records):
    agent, (ada, twice) = await comparing(), await people(2)
    first, again = photo_of(ada, model, 1), photo_of(twice, model, 2, near=1)
    await agent.process([delivery(first), delivery(again, 1)])
    assert (await answered(first)).status == "enrolled"
    answer = await answered(again)
    assert (answer.status, answer.code) == ("refused", "looks_like_another_user")
    assert answer.another.user_id == ada.id
    cosine = float(embedding(first) @ embedding(again))
    assert answer.similarity == answer.another.similarity == pytest.approx(cosine, abs=1e-5)
    row = await ledger_row(records, again.event.uuid, model)
    assert (await records.faces_of(row.event_uuid, model)) == []


async def test_a_photo_of_another_person_is_not_added(comparing, model, people, answered, vectors):
    agent, (ada,) = await comparing(), await people(1)
    await agent.process([delivery(photo_of(ada, model, 1))])
    wrong = photo_of(ada, model, 5)
    cosine = float(embedding(photo_of(ada, model, 1)) @ embedding(wrong))
    assert cosine < LIKENESS.own
    await agent.process([delivery(wrong)])
    answer = await answered(wrong)
    assert (answer.status, answer.code) == ("refused", "unlike_own_photos")
    assert (answer.similarity, answer.another) == (pytest.approx(cosine, abs=1e-5), None)
    assert (await vectors.gallery_photos(model)).user_ids == [ada.id]


async def test_a_further_photo_of_the_same_person_is(comparing, model, people, answered):
    agent, (ada,) = await comparing(), await people(1)
    photos = [photo_of(ada, model, seed, near=1) for seed in (1, 2, 3)]
    await agent.process([delivery(one, at) for at, one in enumerate(photos)])
    assert [(await answered(one)).photos for one in photos] == [1, 2, 3]


async def test_force_overrules_and_the_first_decision_stands(
    comparing, model, people, answered, vectors
):
    agent, (ada, twice) = await comparing(), await people(2)
    refused = photo_of(twice, model, 2, near=1)
    await agent.process([delivery(photo_of(ada, model, 1)), delivery(refused, 1)])
    before = await answered(refused)
    # The other user is gone, and the same message comes again: it is answered as before.
    await vectors.suspend_user(ada.id)
    await agent.process([delivery(refused)])
    assert await answered(refused) == before
    await vectors.resume_user(ada.id)
    await agent.process([delivery(with_force(refused))])
    assert (await answered(refused)).status == "enrolled"
    # The message without force, delivered again, changes nothing.
    await agent.process([delivery(refused)])
    assert (await answered(refused)).status == "enrolled"
    # The two are distinguished from now on: the own template is closest.
    further = photo_of(twice, model, 2, near=1)
    await agent.process([delivery(further)])
    assert (await answered(further)).status == "enrolled"


async def test_force_in_one_batch_with_the_refusal(comparing, model, people, answered):
    agent, (ada, twice) = await comparing(), await people(2)
    refused = photo_of(twice, model, 2, near=1)
    await agent.process(
        [delivery(photo_of(ada, model, 1)), delivery(refused, 1), delivery(with_force(refused), 2)]
    )
    assert (await answered(refused)).status == "enrolled"


async def test_force_does_not_overrule_the_other_rules(comparing, model, people, answered):
    agent, (ada,) = await comparing(), await people(1)
    blurred = structs.replace(face(1), quality=0.05)
    found = photo_of(ada, model, 1, force=True, faces=(blurred,))
    await agent.process([delivery(found)])
    assert (await answered(found)).code == "poor_quality"


async def test_a_photo_that_was_enrolled_before_a_crash_stays(
    comparing, model, people, answered, vectors
):
    """The template is written before the commit: what comes again has been decided."""
    agent, (ada, twice) = await comparing(), await people(2)
    await agent.process([delivery(photo_of(ada, model, 1))])
    found = photo_of(twice, model, 2, near=1)
    await vectors.enrol(
        found.event.face_id(model, 0), twice.id, model, embedding(found), found.event.captured_at
    )
    # Since then the other user's template became closer still.
    more = photo_of(ada, model, 2, near=1, force=True)
    for _ in range(3):
        await vectors.enrol(uuid4(), ada.id, model, embedding(more), more.event.captured_at)
    await vectors.enrol(
        uuid4(), twice.id, model, -embedding(found) * 0.9 + 0.1, found.event.captured_at
    )
    await agent.process([delivery(found)])
    assert (await answered(found)).status == "enrolled"


async def test_of_two_workers_at_once_one_is_refused(comparing, model, people, answered):
    first, second = await comparing(), await comparing()
    for near in range(100, 105):
        photos = [photo_of(user, model, near + 50, near=near) for user in await people(2)]
        await asyncio.gather(
            first.process([delivery(photos[0])]), second.process([delivery(photos[1])])
        )
        assert sorted([(await answered(one)).status for one in photos]) == ["enrolled", "refused"]


async def test_erasing_the_other_user_erases_the_answer_too(
    comparing, model, people, answered, records, vectors, crops, recents
):
    agent, (ada, twice) = await comparing(), await people(2)
    refused = photo_of(twice, model, 2, near=1)
    await agent.process([delivery(photo_of(ada, model, 1)), delivery(refused, 1)])
    assert (await answered(refused)).another.user_id == ada.id
    stores = Stores(crops=crops, vectors=vectors, records=records, recents=recents)
    receipt = await erase(stores, ada.id, Author("test"))
    assert receipt.complete
    assert await records.upload(refused.event.uuid) is None
    # Nothing is left to be compared with.
    await agent.process([delivery(refused)])
    assert (await answered(refused)).status == "enrolled"


async def test_a_user_who_is_erased_at_this_moment_is_not_named(
    comparing, model, people, answered, records
):
    agent, (ada, twice) = await comparing(), await people(2)
    await agent.process([delivery(photo_of(ada, model, 1))])
    found = photo_of(twice, model, 2, near=1)
    async with records._connection("test") as connection, connection.transaction():
        await connection.fetchval("SELECT id FROM users WHERE id = $1 FOR UPDATE", ada.id)
        await asyncio.wait_for(agent.process([delivery(found)]), 20)
    answer = await answered(found)
    assert (answer.status, answer.another) == ("enrolled", None)


async def test_the_dominant_face_is_enrolled_under_its_own_id(
    comparing, model, people, answered, records
):
    agent, (ada,) = await comparing(), await people(1)
    bystander = structs.replace(face(9), box=(300.0, 10.0, 30.0, 40.0))
    found = photo_of(ada, model, 1, faces=(bystander, face(1)))
    await agent.process([delivery(found)])
    answer = await answered(found)
    assert (answer.status, answer.ignored_faces) == ("enrolled", 1)
    assert answer.message == "one other face is ignored: clearly smaller"
    assert answer.face_id == found.event.face_id(model, 1)
    (row,) = await records.faces_of(found.event.uuid, model)
    assert (row.match.face_id, row.index) == (answer.face_id, 1)


async def test_a_weak_photo_counts_for_less(comparing, model, people, answered, vectors):
    agent, (ada,) = await comparing(), await people(1)
    weak = structs.replace(face(1), quality=0.325)
    found = photo_of(ada, model, 1, faces=(weak,))
    await agent.process([delivery(found)])
    assert (await answered(found)).weight == pytest.approx(0.725)
    assert (await vectors.gallery_photos(model)).weights.tolist() == [pytest.approx(0.725)]


def embedding(found):
    return np.frombuffer(found.faces[0].embedding, "<f4")
