"""The follow worker's other part: a person who is not enrolled and is seen by two cameras."""

import asyncio
from uuid import uuid4

import pytest

from streams.contract.visit_codec import visit_from_json
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening
from tests.end_to_end.test_follow import send_frames, until_ended

pytestmark = pytest.mark.waits


async def members(records, visits):
    async with records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT visit_id, unknown_id FROM unknown_members WHERE visit_id = ANY($1::uuid[])",
            visits,
        )
    return {row["visit_id"]: row["unknown_id"] for row in rows}


async def test_a_person_at_two_cameras_is_one_unknown(workers, producer, topics, prepared, records):
    cameras = [f"unknown-{uuid4().hex[:8]}" for _ in range(2)]
    ended = []
    async with listening(prepared, topics.visits) as visits:
        for camera in cameras:
            await send_frames(producer, topics, camera, [photos.astronaut()] * 5)
            wanted = lambda message, camera=camera: message.key == camera.encode()  # noqa: E731
            *_, last = await until_ended(visits, wanted)
            ended.append(visit_from_json(last.value))
    ids = [visit.visit_id for visit in ended]
    async with asyncio.timeout(60):
        while len(found := await members(records, ids)) < len(ids):  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.1)
    # Which one, an earlier test of these servers may have decided: the person was there, too.
    assert len(set(found.values())) == 1
