"""A photo that is uploaded again after a failure does not get the old failure as its answer."""

from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from agents.identify import effects
from domain.events import DetectedFaces
from domain.refusals.unreadable_uploads import given_up
from domain.upload_answers import decode_answer
from domain.upload_events import enrol_event
from infra.database.create_topics import ensure_topics
from services.photo_uploads import UploadClient
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.store_errors import StoreUnavailable
from streams.clients.image_producer import ImageProducer, PublishError
from tests.contract.builders import MODEL, unique
from tests.stored_records import commit_results


@pytest.fixture
async def failed(records, recents):
    """A failed enrolment, in the ledger and in Redis."""
    event = enrol_event(uuid4(), uuid4().bytes)
    result = finding(event, "access_denied")
    assert await commit_results(records, [result]) == {result.key}
    await recents.answer(event.key, result.answer)
    return event


def finding(event, code):
    faces = DetectedFaces(event=event, model=MODEL, width=0, height=0, faces=())
    return effects.refused(faces, given_up(code)).result


@pytest.fixture
async def own(prepared):
    """Topics that no worker of another test reads."""
    changes = {"topic_prefix": unique("repeated."), "claim_check": False}
    kafka = prepared.kafka.model_copy(update=changes)
    await ensure_topics(kafka, lambda _line: None)
    return prepared.model_copy(update={"kafka": kafka})


@asynccontextmanager
async def uploading(redis, kafka, records):
    waiter = AnswerWaiter(redis.redis)
    waiter.start()
    producer = ImageProducer(kafka.kafka.model_copy(update={"claim_check": False}))
    try:
        yield UploadClient(producer, waiter, records, publish_timeout=10, model=MODEL)
    finally:
        await producer.stop()
        await waiter.close()


async def test_a_failure_is_deleted_when_the_photo_is_sent(own, records, failed):
    async with uploading(own, own, records) as client:
        assert await client.ask([(failed, b"photo")], 0.2) == [None]
    assert await records.upload(failed.uuid) is None


async def test_no_photo_is_sent_while_redis_may_contain_the_failure(own, nowhere, records, failed):
    async with uploading(nowhere, own, records) as client:
        with pytest.raises(StoreUnavailable):
            await client.publish([(failed, b"photo")])
    async with uploading(own, own, records) as client:
        assert await client.ask([(failed, b"photo")], 0.2) == [None]


async def test_a_failure_stays_if_the_broker_does_not_accept_the_photo(
    own, nowhere, records, failed
):
    async with uploading(own, nowhere, records) as client:
        with pytest.raises(PublishError):
            await client.publish([(failed, b"photo")])
    assert (await records.upload(failed.uuid)).outcome == "failed"


async def test_a_newer_result_in_place_of_a_failure_is_not_deleted(records, failed):
    known = await records.uploads([failed.uuid])
    again = finding(failed, "store_fault")
    assert await commit_results(records, [again]) == {again.key}
    await records.forget_uploads(known)
    assert decode_answer((await records.upload(failed.uuid)).answer).code == "store_fault"
