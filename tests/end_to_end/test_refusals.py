"""A refusal stands for as long as what it depends on; an answer is that of the model in force."""

from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest
from msgspec import structs

from domain.decisions.enrolment import EnrolmentPolicy
from domain.events import DetectedFaces, Refusal
from domain.upload_answers import decode_answer
from domain.upload_events import enrol_event
from infra.database.create_topics import ensure_topics
from services.photo_uploads import UploadClient
from sinks.cache.answer_waiter import AnswerWaiter
from streams.clients.image_producer import ImageProducer
from tests.contract.builders import unique
from tests.end_to_end import photos
from tests.end_to_end.api.conftest import running_app
from tests.end_to_end.test_identify import DIMENSION, delivery, face, identify
from tests.stored_records import ledger_row, stored_user

STRICT, MILD = EnrolmentPolicy(0.9, 40), EnrolmentPolicy(0.1, 40)


@pytest.fixture
async def agents(records, vectors, crops, recents, producer, topics, prepared):
    """Makes identify agents with policies of their own, on the same stores."""
    async with AsyncExitStack() as stack:

        async def make(enrolment, **options):
            return await stack.enter_async_context(
                identify(
                    records,
                    vectors,
                    crops,
                    recents,
                    producer,
                    topics,
                    prepared,
                    enrolment,
                    **options,
                )
            )

        yield make


@pytest.fixture
async def model(vectors):
    name = unique("refusing")
    await vectors.ensure_model(name, DIMENSION)
    return name


@pytest.fixture
async def user(records):
    return await stored_user(records, f"{uuid4().hex}@example.com")


@pytest.fixture
async def client(prepared, records):
    """Sends photos to topics without a worker: the test itself plays the worker."""
    changes = {"topic_prefix": unique("refused."), "claim_check": False}
    kafka = prepared.kafka.model_copy(update=changes)
    await ensure_topics(kafka, lambda _line: None)
    waiter, producer = AnswerWaiter(prepared.redis), ImageProducer(kafka)

    def of(model):
        return UploadClient(producer, waiter, records, publish_timeout=20, model=model)

    yield of
    await producer.stop()
    await waiter.close()


def photo_of(user, model, policy="detect-1", **changes):
    event = enrol_event(user.id, uuid4().bytes)
    found = DetectedFaces(
        event=event, model=model, width=640, height=480, faces=(face(7),), policy=policy
    )
    return structs.replace(found, **changes)


async def outcome(records, found):
    row = await ledger_row(records, found.event.uuid, found.model)
    return row.outcome.value


async def answered(waiter, found):
    return decode_answer(await waiter.wait(found.event.key, 1))


async def test_field_08_a_refusal_by_a_policy_that_is_over_is_decided_again(
    agents, records, model, user, waiter
):
    strict, mild = await agents(STRICT), await agents(MILD)
    found = photo_of(user, model)
    await strict.process([delivery(found)])
    assert (await answered(waiter, found)).code == "poor_quality"
    await strict.process([delivery(found)])
    assert await outcome(records, found) == "refused"
    await mild.process([delivery(found)])
    assert (await answered(waiter, found)).status == "enrolled"
    assert await outcome(records, found) == "enrolled"
    (row,) = await records.faces_of(found.event.uuid, model)
    assert row.match.user_id == user.id
    # An enrolment stands: the first result that could be used has won.
    await strict.process([delivery(found)])
    assert await outcome(records, found) == "enrolled"


async def test_field_08_so_is_one_by_the_detect_workers_policy(
    agents, records, model, user, waiter
):
    agent = await agents(MILD)
    too_large = Refusal(code="too_many_pixels", message="too many")
    found = photo_of(user, model, faces=(), refusal=too_large)
    await agent.process([delivery(found)])
    again = structs.replace(found, faces=(face(7),), refusal=None)
    await agent.process([delivery(again)])
    assert (await answered(waiter, found)).code == "too_many_pixels"
    await agent.process([delivery(structs.replace(again, policy="detect-2"))])
    assert (await answered(waiter, found)).status == "enrolled"


async def test_field_08_in_one_batch_too(agents, records, model, user):
    agent = await agents(MILD)
    found = photo_of(user, model, faces=())
    better = structs.replace(found, faces=(face(7),), policy="detect-2")
    same = structs.replace(found, faces=(face(7),))
    await agent.process([delivery(found), delivery(same, 1), delivery(better, 2)])
    assert await outcome(records, found) == "enrolled"


async def test_field_08_a_refusal_for_its_bytes_stands(agents, records, model, user, waiter):
    agent = await agents(MILD)
    found = photo_of(user, model, faces=(), refusal=Refusal(code="corrupt", message="broken"))
    await agent.process([delivery(found)])
    await agent.process(
        [delivery(structs.replace(found, refusal=None, faces=(face(7),), policy="new"))]
    )
    assert (await answered(waiter, found)).code == "corrupt"


async def test_field_08_a_refusal_of_a_release_before_policies_is_decided_again(
    agents, records, recents, model, user
):
    strict, mild = await agents(STRICT), await agents(MILD)
    found = photo_of(user, model)
    await strict.process([delivery(found)])
    async with records._connection("test") as connection:
        await connection.execute(
            "UPDATE events SET answer = answer - 'policy' WHERE event_uuid = $1", found.event.uuid
        )
    await mild.process([delivery(found)])
    assert await outcome(records, found) == "enrolled"


async def test_field_08_the_same_photo_sent_in_again_is_not_answered_by_the_refusal(
    agents, records, recents, client, model, user
):
    strict = await agents(STRICT)
    found = photo_of(user, model)
    await strict.process([delivery(found)])
    sender = client(model)
    assert await sender.ask([(found.event, b"photo")], 0.2) == [None]
    assert await records.upload(found.event.uuid) is None
    await strict.process([delivery(found)])
    (answer,) = await sender.answers([found.event], 5)
    assert answer.code == "poor_quality"


async def test_field_08_a_refusal_for_its_bytes_answers_at_once(agents, client, model, user):
    agent = await agents(MILD)
    found = photo_of(user, model, faces=(), refusal=Refusal(code="corrupt", message="broken"))
    await agent.process([delivery(found)])
    (answer,) = await client(model).ask([(found.event, b"photo")], 5)
    assert answer.code == "corrupt"


async def test_field_09_the_old_models_answer_does_not_answer_for_the_new_one(
    agents, records, recents, client, model, user, vectors
):
    agent = await agents(MILD)
    found = photo_of(user, model)
    await agent.process([delivery(found)])
    (answer,) = await client(model).ask([(found.event, b"photo")], 5)
    assert (answer.status, answer.model) == ("enrolled", model)
    newer = unique("newer")
    await vectors.ensure_model(newer, DIMENSION)
    event = structs.replace(found.event, captured_at=enrol_event(user.id, b"").captured_at)
    sender = client(newer)
    assert await sender.ask([(event, b"photo")], 0.2) == [None]
    await agent.process([delivery(structs.replace(found, event=event, model=newer))])
    (answer,) = await sender.answers([event], 5)
    assert (answer.status, answer.model) == ("enrolled", newer)
    # From the ledger, too.
    assert await recents._client.delete(f"fecapass:answer:{event.key}") == 1
    for one in (model, newer):
        (answer,) = await client(one).answers([event], 0.1)
        assert answer.model == one


async def test_field_09_the_api_says_pending_until_the_new_model_has_answered(
    agents, records, prepared, model, user, vectors, monkeypatch
):
    """And one photo is one photo, whatever models have looked at it."""
    agent = await agents(MILD)
    photo = photos.astronaut() + uuid4().bytes
    found = photo_of(user, model, event=enrol_event(user.id, photo))
    await agent.process([delivery(found)])
    newer = unique("newer")
    await vectors.ensure_model(newer, DIMENSION)

    async def in_force(_settings):
        return newer

    monkeypatch.setattr("api.http.dependencies.embedder_in_force", in_force)
    kafka = prepared.kafka.model_copy(
        update={"topic_prefix": unique("pending."), "claim_check": False}
    )
    await ensure_topics(kafka, lambda _line: None)
    settings = prepared.model_copy(update={"kafka": kafka})
    async with running_app(settings, auth=False, answer_timeout=0.3) as http:
        sent = await enrol(http, user, photo)
        assert sent.status_code == 202, sent.text
        (upload,) = sent.json()["uploads"]
        assert (await http.get(upload["status_url"])).json()["status"] == "pending"
        await agent.process([delivery(structs.replace(found, model=newer))])
        read = (await http.get(upload["status_url"])).json()
        assert (read["status"], read["face"]["model"]) == ("enrolled", newer)
        assert (await http.get(f"/api/v1/users/{user.id}")).json()["photos"] == 1


async def enrol(http, user, photo) -> httpx.Response:
    return await http.post(
        "/api/v1/faces", data={"user_id": str(user.id)}, files=[("photos", ("a.jpg", photo))]
    )


async def test_field_16_a_deactivated_user_s_photo_is_refused_until_the_user_is_active(
    agents, records, model, user, waiter
):
    agent = await agents(MILD)
    found = photo_of(user, model)
    await activate(records, user, active=False)
    await agent.process([delivery(found)])
    answer = await answered(waiter, found)
    assert (answer.status, answer.code) == ("refused", "user_inactive")
    await activate(records, user, active=True)
    await agent.process([delivery(found)])
    assert (await answered(waiter, found)).status == "enrolled"


async def activate(records, user, *, active):
    async with records._connection("test") as connection:
        await connection.execute("UPDATE users SET is_active = $2 WHERE id = $1", user.id, active)
