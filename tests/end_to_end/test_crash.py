"""Workers that are killed or stopped in the middle lose nothing and double nothing."""

import asyncio
import os
import signal
from uuid import uuid4

import pytest

from infra.database.init_db import initialise
from infra.demo.demo_workers import Worker
from streams.contract.topics import Topics
from streams.contract.value_codec import match_from_json
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening, running_workers

pytestmark = pytest.mark.waits

FRAMES = 240
CAMERAS = 6


@pytest.fixture
async def own(prepared, environment):
    """Topics and a consumer group of the test's own, so that other workers stay out of it."""
    prefix = f"crash{uuid4().hex[:6]}."
    kafka = prepared.kafka.model_copy(update={"topic_prefix": prefix})
    settings = prepared.model_copy(update={"kafka": kafka})
    await initialise(settings, [], lambda _line: None)
    return settings, environment | {"FECAPASS_KAFKA__TOPIC_PREFIX": prefix}


async def publish(producer, topics, run, pause):
    """Frames with one face each, a steady stream of them."""
    pictures = photos.carphone(30)
    for number in range(FRAMES):
        await producer.send(
            topics.frames,
            pictures[number % len(pictures)],
            key=f"{run}-{number % CAMERAS}".encode(),
            headers=[
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{run}-{number}".encode()),
                ("ce_source", b"camera/crash"),
                ("ce_type", b"fecapass.frame.captured"),
            ],
        )
        await asyncio.sleep(pause)
    await producer.flush()


async def settled(records, run):
    """How many of the run's events are in the ledger and announced."""
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT count(*) FROM events WHERE id LIKE $1 AND announced_at IS NOT NULL", f"{run}-%"
        )


async def until_settled(records, run, count, seconds=120):
    async with asyncio.timeout(seconds):
        while await settled(records, run) < count:  # noqa: ASYNC110 - Postgres has no event for this
            await asyncio.sleep(0.2)


async def counted(records, vectors, run):
    """Rows, ledger lines, and faces with the embedding that stands for them, of the run."""
    async with records._connection("test") as connection:
        faces = await connection.fetch(
            "SELECT id, best_face_id FROM faces WHERE event_id LIKE $1", f"{run}-%"
        )
        events = await connection.fetchval(
            "SELECT count(*) FROM events WHERE id LIKE $1", f"{run}-%"
        )
    async with vectors._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT face_id FROM face_embeddings WHERE face_id = ANY($1)",
            [face["id"] for face in faces],
        )
    embedded = {row["face_id"] for row in rows}
    assert embedded == {face["id"] for face in faces if face["best_face_id"] is None}
    # After a kill a face may name itself: its best face is in a frame that was detected twice.
    stands = [
        face for face in faces if (face["best_face_id"] or face["id"]) in embedded | {face["id"]}
    ]
    return len(faces), events, len(stands)


async def test_killed_workers_lose_nothing_and_double_nothing(
    own, producer, records, vectors, tmp_path
):
    settings, environment = own
    topics, run = Topics(settings.kafka.topic_prefix), uuid4().hex
    async with (
        listening(settings, topics.matches) as matches,
        running_workers(["detect", "identify"], environment, tmp_path) as workers,
    ):
        publishing = asyncio.create_task(publish(producer, topics, run, 0.02))
        replacements = []
        try:
            for count, victim in ((30, workers[0]), (90, workers[1])):
                await until_settled(records, run, count)
                os.kill(victim.pid, signal.SIGKILL)
                replacements.append(Worker(victim.kind, environment, tmp_path / "second"))
            await publishing
            await until_settled(records, run, FRAMES)
        finally:
            publishing.cancel()
            await asyncio.gather(*(worker.stop(30) for worker in replacements))
        told = await every_face_once_at_least(matches)
    assert await counted(records, vectors, run) == (FRAMES, FRAMES, FRAMES)
    # Repeated match events are identical and have the same ce_id, so consumers can drop them.
    assert len(set(told)) == FRAMES
    assert {face.event_id for face in told} == {f"{run}-{number}" for number in range(FRAMES)}


async def every_face_once_at_least(matches):
    """Match events, read until there are as many different faces as published frames."""
    told = []
    while len({face.face_id for face in told}) < FRAMES:
        (message,) = await matches.messages(1, lambda _message: True)
        told.append(match_from_json(message.value))
    return told


async def test_a_stopped_worker_gives_its_work_back_at_once(
    own, producer, records, vectors, tmp_path
):
    """SIGTERM: what is in work is finished and committed, the rest is another's."""
    settings, environment = own
    topics, run = Topics(settings.kafka.topic_prefix), uuid4().hex
    async with running_workers(
        ["detect", "detect", "identify", "identify"], environment, tmp_path
    ) as workers:
        publishing = asyncio.create_task(publish(producer, topics, run, 0.02))
        try:
            await until_settled(records, run, 40)
            for leaver in (workers[0], workers[2]):
                await leaver.stop(20)
                assert leaver.returncode == 0, leaver.tail()
            await publishing
            await until_settled(records, run, FRAMES)
        finally:
            publishing.cancel()
    assert await counted(records, vectors, run) == (FRAMES, FRAMES, FRAMES)
