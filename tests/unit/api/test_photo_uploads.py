"""Answers to uploads that Redis never gets."""

import asyncio

import pytest

from domain.events import utc_now
from domain.store_rows import LedgerRow, Outcome
from domain.upload_answers import UploadAnswer, encode_answer
from domain.upload_events import search_event
from services.photo_uploads import UploadClient
from sinks.store_errors import StoreUnavailable

AWAY = StoreUnavailable("the ledger", "read", "connection refused")


class SilentRedis:
    """Takes writes, and has no answer: the worker that had it left Redis alone just then."""

    def __init__(self):
        self.asked = []

    async def wait(self, _upload_id, timeout):  # noqa: ASYNC109 - as the waiter has it
        self.asked.append(timeout)
        assert len(self.asked) < 10
        await asyncio.sleep(min(timeout, 0.02))

    async def probe(self):
        """It is well."""


class Ledger:
    """Says what it is given, one thing at a look; the last for good."""

    def __init__(self, *looks):
        self.looks = list(looks)

    async def upload(self, _event_uuid, _model):
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return look


def row(event):
    answer = UploadAnswer(upload_id=event.key, status="refused", model="m", code="no_face")
    return LedgerRow(
        event_uuid=event.uuid,
        model="m",
        kind=event.kind.value,
        source=event.source,
        id=event.id,
        key=event.key,
        captured_at=event.captured_at,
        width=1,
        height=1,
        face_count=0,
        outcome=Outcome.REFUSED,
        answer=encode_answer(answer),
        announced_at=None,
        processed_at=utc_now(),
    )


async def answer(event, seconds, *looks):
    redis = SilentRedis()
    client = UploadClient(None, redis, Ledger(*looks), publish_timeout=1, model="m")
    (found,) = await client.answers([event], seconds)
    return found, redis.asked


@pytest.mark.parametrize("between", [None, AWAY], ids=["not yet", "ledger away"])
async def test_field_03_the_ledger_is_looked_at_though_redis_looks_well(between):
    """One hiccup of Redis, and callers waited the whole time for what the ledger had."""
    event = search_event()
    found, asked = await answer(event, 60.0, None, between, row(event))
    assert found.code == "no_face"
    assert asked == [0.5, 2.0, 2.0]


async def test_field_03_a_ledger_that_is_unavailable_at_the_end_is_reported():
    with pytest.raises(StoreUnavailable):
        await answer(search_event(), 0.01, AWAY)
