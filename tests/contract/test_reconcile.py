"""The reconciler on real stores: each fault is planted, found, repaired, and then not there."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from msgspec import structs

from config.settings import Settings
from infra.maintenance.faults import Fault
from infra.maintenance.reconcile import Reconciler
from infra.maintenance.stores import open_upkeep
from sinks.crops import crop_key
from sinks.rows import Sighting
from streams.kafka import create_consumer
from streams.topics import Topics
from tests.contract.builders import NOON, a_result, a_vector, an_event, unique

DIMENSION = 8


def young(prepared: Settings, **changes) -> Settings:
    """Settings without grace: what a test plants is old at once."""
    maintenance = prepared.maintenance.model_copy(update={"grace": 0.0, "batch": 3} | changes)
    return prepared.model_copy(update={"maintenance": maintenance})


async def reconcile(settings: Settings, *, dry_run=False):
    async with open_upkeep(settings) as stores:
        counts = await Reconciler(stores, settings, dry_run, lambda *_: None).run()
    return {count.fault: (count.found, count.repaired) for count in counts}


@pytest.fixture
async def model(vectors):
    name = unique("reconciled")
    await vectors.ensure_model(name, DIMENSION)
    return name


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
async def clean(prepared):
    """Stores in which nothing is at fault; other tests plant faults of their own."""
    await reconcile(young(prepared))
    await asyncio.sleep(1.1)  # S3 tells the time of a write in whole seconds
    assert set((await reconcile(young(prepared))).values()) == {(0, 0)}


def the_result(event, model, *, user_id=None):
    """A settled face with the key that its crop has in S3."""
    result = a_result(event, 1, user_id, model=model)
    (row,) = result.faces
    key = crop_key(event.key, event.captured_at, row.match.face_id)
    match = structs.replace(row.match, crop_key=key)
    return structs.replace(result, faces=(structs.replace(row, match=match),))


async def a_face(records, vectors, crops, rng, model, *, without=()):
    """A face in all stores, but for those named."""
    event = an_event()
    result = the_result(event, model)
    match = result.faces[0].match
    if "crop" not in without:
        await crops.put(match.crop_key, b"jpeg")
    if "embedding" not in without:
        sighting = Sighting(
            face_id=match.face_id,
            user_id=None,
            embedding=a_vector(rng, DIMENSION),
            captured_at=event.captured_at,
        )
        await vectors.add_sightings(model, [sighting])
    if "row" not in without:
        await records.commit([result])
        if "announcement" not in without:
            await records.mark_announced([result.key])
    return match


async def execute(sink, statement, *arguments):
    async with sink._connection("test") as connection:
        await connection.execute(statement, *arguments)


async def plant(fault, prepared, records, vectors, crops, rng, model):
    """Plant two faults of a kind, beside a face that is whole; returns the check afterwards."""
    whole = await a_face(records, vectors, crops, rng, model)

    if fault is Fault.CROP_WITHOUT_ROW:
        keys = [crop_key(unique("door"), NOON, uuid4()) for _ in range(2)]
        for key in keys:
            await crops.put(key, b"jpeg")
        await crops.put("crops/notes.txt", b"not ours")

        async def repaired():
            assert not any([await crops.exists(key) for key in keys])
            assert await crops.exists("crops/notes.txt")
            assert await crops.exists(whole.crop_key)

    elif fault is Fault.SIGHTING_WITHOUT_ROW:
        lost = [
            await a_face(records, vectors, crops, rng, model, without=("row", "crop"))
            for _ in range(2)
        ]

        async def repaired():
            async with open_upkeep(prepared) as stores:
                there = await stores.vectors.there([one.face_id for one in (*lost, whole)])
            assert there == {whole.face_id}

    elif fault is Fault.TEMPLATE_WITHOUT_ROW:
        user = await records.ensure_user(f"{unique('u')}@example.org")
        for _ in range(2):
            await vectors.enrol(uuid4(), user.id, model, a_vector(rng, DIMENSION), NOON)

        async def repaired():
            traces = await vectors.traces_of(user.id)
            assert (traces.templates, traces.galleries) == (0, 0)
            assert (await vectors.changes(model, 0))[-1].embedding is None

    elif fault is Fault.ROW_WITHOUT_CROP:
        broken = [
            await a_face(records, vectors, crops, rng, model, without=("crop",)) for _ in range(2)
        ]

        async def repaired():
            async with open_upkeep(prepared) as stores:
                keys = await stores.main.crop_keys([one.face_id for one in (*broken, whole)])
            assert keys == {one.face_id: None for one in broken} | {whole.face_id: whole.crop_key}

    elif fault is Fault.ROW_WITHOUT_EMBEDDING:
        broken = [
            await a_face(records, vectors, crops, rng, model, without=("embedding",))
            for _ in range(2)
        ]

        async def repaired():
            async with open_upkeep(prepared) as stores:
                asked = [one.face_id for one in (*broken, whole)]
                assert await stores.main.not_yet_lost(asked) == {whole.face_id}

    elif fault is Fault.WRONG_MEAN:
        users = [await records.ensure_user(f"{unique('u')}@example.org") for _ in range(3)]
        for user in users:
            for _ in range(2):
                event = an_event()
                result = the_result(event, model, user_id=user.id)
                match = result.faces[0].match
                await crops.put(match.crop_key, b"jpeg")
                await vectors.enrol(match.face_id, user.id, model, a_vector(rng, DIMENSION), NOON)
                await records.commit([result])
                await records.mark_announced([result.key])
        before = {one.user_id: one.embedding for one in await vectors.changes(model, 0)}
        await execute(
            vectors,
            "UPDATE gallery SET embedding = ($2::float4[])::vector WHERE user_id = $1",
            users[0].id,
            a_vector(rng, DIMENSION).tolist(),
        )
        await execute(vectors, "DELETE FROM gallery WHERE user_id = $1", users[1].id)

        async def repaired():
            after = {one.user_id: one.embedding for one in await vectors.changes(model, 0)}
            assert after.keys() == before.keys()
            for user_id, embedding in before.items():
                np.testing.assert_allclose(after[user_id], embedding, atol=1e-6)

    elif fault is Fault.NOT_ANNOUNCED:
        untold = [
            await a_face(records, vectors, crops, rng, model, without=("announcement",))
            for _ in range(2)
        ]

        async def repaired():
            consumer = create_consumer(
                prepared.kafka,
                Topics(prepared.kafka.topic_prefix).matches,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            told, wanted = [], {str(one.face_id) for one in untold}
            try:
                async with asyncio.timeout(30):
                    while len(told) < 2:
                        message = await consumer.getone()
                        told += [
                            value.decode()
                            for name, value in message.headers
                            if name == "ce_id" and value.decode() in wanted
                        ]
            finally:
                await consumer.stop()
            assert sorted(told) == sorted(wanted)

    else:
        keys = [f"frames/{uuid4()}.jpg", f"uploads/{uuid4()}.png"]
        for key in keys:
            await crops.put(key, b"image")

        async def repaired():
            assert not any([await crops.exists(key) for key in keys])

    return repaired


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_planted_fault_is_found_repaired_and_gone(
    clean, fault, prepared, records, vectors, crops, rng, model
):
    repaired = await plant(fault, prepared, records, vectors, crops, rng, model)
    await asyncio.sleep(1.1)  # S3 tells the time of a write in whole seconds
    settings = young(prepared)
    if fault is Fault.OLD_CLAIM_CHECK:
        hours = {"frames_retention_hours": 1e-4, "uploads_retention_hours": 1e-4}
        kafka = {**hours, "dead_letter_retention_hours": 1e-4}
        settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update=kafka)})
    expected = dict.fromkeys(Fault, (0, 0))
    looked = await reconcile(settings, dry_run=True)
    assert looked == expected | {fault: (2, 0)}
    assert await reconcile(settings, dry_run=True) == looked, "a dry run changes nothing"
    assert await reconcile(settings) == expected | {fault: (2, 2)}
    await repaired()
    assert await reconcile(settings) == expected


async def test_what_is_younger_than_the_grace_is_work_in_progress(
    clean, prepared, records, vectors, crops, rng, model
):
    for without in (("row",), ("crop",), ("embedding",), ("announcement",)):
        await a_face(records, vectors, crops, rng, model, without=without)
    settings = young(prepared, grace=600.0)
    assert set((await reconcile(settings)).values()) == {(0, 0)}
    await reconcile(young(prepared))


async def test_nothing_is_deleted_that_a_worker_is_about_to_commit(
    clean, prepared, records, vectors, crops, rng, model
):
    """An event delivered again writes over an old crop, whose row comes only with the commit."""
    event = an_event()
    result = the_result(event, model)
    match = result.faces[0].match
    await crops.put(match.crop_key, b"jpeg")
    sighting = Sighting(
        face_id=match.face_id, user_id=None, embedding=a_vector(rng, DIMENSION), captured_at=NOON
    )
    await vectors.add_sightings(model, [sighting])
    await asyncio.sleep(1.1)  # S3 tells the time of a write in whole seconds
    async with records.claim([result.key]) as claim:
        busy = await reconcile(young(prepared, quiet_wait=0.2))
        assert busy[Fault.CROP_WITHOUT_ROW] == (1, 0)
        assert busy[Fault.SIGHTING_WITHOUT_ROW] == (1, 0)
        patient = asyncio.create_task(reconcile(young(prepared, quiet_wait=20.0)))
        async with asyncio.timeout(20):
            while not await is_waiting(records):
                await asyncio.sleep(0.02)
        await claim.commit([result])
    await patient
    assert await crops.exists(match.crop_key)
    async with open_upkeep(prepared) as stores:
        assert await stores.vectors.there([match.face_id]) == {match.face_id}


async def is_waiting(records):
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        )


def fecapass(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_command_says_what_is_left_and_what_was_repaired(
    clean, environment, prepared, records, vectors, crops, rng, model
):
    await crops.put(crop_key(unique("door"), NOON - timedelta(days=1), uuid4()), b"jpeg")
    await asyncio.sleep(1.1)  # S3 tells the time of a write in whole seconds

    async def run(*arguments):
        return await asyncio.to_thread(
            fecapass, environment, "reconcile", "--grace", "0", "--json", *arguments
        )

    dry = await run("--dry-run")
    assert dry.returncode == 1, dry.stderr
    assert "faults left: 1" in dry.stderr
    wet = await run()
    assert wet.returncode == 0, wet.stderr
    rows = {row["fault"]: row for row in json.loads(wet.stdout)}
    assert rows["crop_without_row"]["repaired"] == 1
    assert set(rows) == {fault.value for fault in Fault}
    again = await run()
    assert again.returncode == 0
    assert all(row["found"] == 0 for row in json.loads(again.stdout))
