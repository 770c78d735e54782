"""The live stream on a real broker's log: as it grows, and when it begins again."""

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from api.live import topic_broadcast
from api.live.match_broadcast import LiveMatches
from domain.events import FaceMatch
from streams.clients.client_factory import create_producer
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json
from tests.end_to_end.delivery import until


def a_match() -> bytes:
    return match_to_json(
        FaceMatch(
            face_id=uuid4(),
            event_id="1",
            camera_id="door",
            captured_at=datetime.now(UTC),
            box=(0.0, 0.0, 1.0, 1.0),
            score=0.9,
            quality=0.9,
            user_id=None,
            similarity=None,
            runner_up_similarity=None,
            model="m",
            crop_key="crops/x",
        )
    )


@asynccontextmanager
async def following(prepared):
    """Live matches of the session's topic, once they follow it."""
    hub = LiveMatches(prepared.kafka, prepared.api)
    hub.start()
    try:
        yield hub
    finally:
        await hub.close()


@pytest.fixture
def looks(monkeypatch):
    """Looks at the log's end, many a second, counted."""
    done = []
    look = topic_broadcast.rewind_shortened

    async def counted(consumer, ends):
        told = await look(consumer, ends)
        done.append(told)
        return told

    monkeypatch.setattr(topic_broadcast, "_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(topic_broadcast, "rewind_shortened", counted)
    return done


async def test_a_batch_of_several_matches_is_sent_once(prepared, looks, caplog):
    """The embedded broker tells an end before the last batch's; that is not a new log."""
    topic = Topics(prepared.kafka.topic_prefix).matches
    producer = create_producer(prepared.kafka)
    await producer.start()
    try:
        async with following(prepared) as hub:
            with (
                hub.listen() as listener,
                caplog.at_level(logging.WARNING, "api.live.topic_broadcast"),
            ):
                await until(lambda: len(looks) > 3)
                batch = producer.create_batch()
                for _ in range(5):
                    batch.append(key=None, value=a_match(), timestamp=None)
                await (await producer.send_batch(batch, topic, partition=0))
                events = listener.events(1.0)
                async with asyncio.timeout(30):
                    faces: list[FaceMatch] = []
                    while len(faces) < 5:
                        if isinstance(event := await anext(events), FaceMatch):
                            faces.append(event)
                seen = len(looks)
                await until(lambda: len(looks) > seen + 3)
        assert len({face.face_id for face in faces}) == 5
        assert "reading from its beginning" not in caplog.text
    finally:
        await producer.stop()
