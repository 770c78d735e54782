"""The reconciler on real stores: each fault is planted, found, repaired, and not found again."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest

from domain.object_keys import crop_key, snapshot_key
from domain.personal_data import DataSubject
from domain.store_rows import Sighting
from infra.maintenance.faults import Fault
from infra.maintenance.maintenance_stores import MaintenanceStores
from infra.maintenance.reconcile import Reconciler
from sinks.stores import opened
from streams.clients.client_factory import create_consumer
from streams.contract.topics import Topics
from tests.contract.builders import NOON, a_result, an_event, unique
from tests.contract.stored_people import (
    followed,
    reconcile,
    short_lived,
    the_result,
    with_snapshot,
    young,
)
from tests.stored_records import commit_results


async def plant_crops(stored):
    keys = [crop_key(unique("door"), NOON, uuid4()) for _ in range(2)]
    for key in keys:
        await stored.crops.put(key, b"jpeg")
    await stored.crops.put("crops/notes.txt", b"not ours")

    async def check():
        assert not any([await stored.crops.exists(key) for key in keys])
        assert await stored.crops.exists("crops/notes.txt")

    return check


async def plant_sightings(stored):
    lost = [await stored.a_face(without=("row", "crop")) for _ in range(2)]

    async def check():
        async with opened(MaintenanceStores.of(stored.prepared)) as stores:
            assert await stores.vectors.there([one.face_id for one in lost]) == set()

    return check


async def plant_templates(stored):
    user = await stored.a_user()
    for _ in range(2):
        await stored.vectors.enrol(uuid4(), user, stored.model, stored.a_vector(), NOON)

    async def check():
        assert (await stored.vectors.traces(DataSubject(user))).total == 0
        assert (await stored.vectors.changes(stored.model, 0))[-1].embedding is None

    return check


async def plant_rows_without_crop(stored):
    broken = [await stored.a_face(without=("crop",)) for _ in range(2)]

    async def check():
        async with opened(MaintenanceStores.of(stored.prepared)) as stores:
            keys = await stores.records.crop_keys([one.face_id for one in broken])
        assert keys == {one.face_id: None for one in broken}

    return check


async def plant_rows_without_embedding(stored):
    broken = [await stored.a_face(without=("embedding",)) for _ in range(2)]

    async def check():
        async with opened(MaintenanceStores.of(stored.prepared)) as stores:
            assert await stores.records.not_yet_lost([one.face_id for one in broken]) == set()

    return check


async def plant_means(stored):
    users = [await stored.a_user() for _ in range(3)]
    for user, weight in zip((*users, *users), (0.3,) * 3 + (1.0,) * 3, strict=True):
        result = the_result(an_event(), stored.model, user_id=user)
        match = result.faces[0].match
        await stored.crops.put(match.crop_key, b"jpeg")
        await stored.vectors.enrol(
            match.face_id, user, stored.model, stored.a_vector(), NOON, weight=weight
        )
        await commit_results(stored.records, [result])
        await stored.records.mark_announced([result.key])
    before = await stored.gallery()
    async with stored.vectors._connection("test") as connection:
        await connection.execute(
            "UPDATE gallery SET embedding = ($2::float4[])::vector WHERE user_id = $1",
            users[0],
            stored.a_vector().tolist(),
        )
        await connection.execute("DELETE FROM gallery WHERE user_id = $1", users[1])

    async def check():
        after = await stored.gallery()
        assert after.keys() == before.keys()
        for user_id, embedding in before.items():
            np.testing.assert_allclose(after[user_id], embedding, atol=1e-6)

    return check


async def plant_suspensions(stored):
    """Both kinds: such users remain after a crash between two commits, or a restored backup."""
    active, inactive = await stored.a_user(), await stored.a_user()
    for user in (active, inactive):
        result = the_result(an_event(), stored.model, user_id=user)
        match = result.faces[0].match
        await stored.crops.put(match.crop_key, b"jpeg")
        await stored.vectors.enrol(match.face_id, user, stored.model, stored.a_vector(), NOON)
        await commit_results(stored.records, [result])
        await stored.records.mark_announced([result.key])
    await stored.vectors.suspend_user(active)
    async with stored.records._connection("test") as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", inactive)

    async def check():
        gallery = await stored.gallery()
        assert gallery[active] is not None
        assert gallery[inactive] is None

    return check


async def plant_unannounced(stored):
    unannounced = [await stored.a_face(without=("announcement",)) for _ in range(2)]

    async def check():
        topics = Topics(stored.prepared.kafka.topic_prefix)
        consumer = create_consumer(
            stored.prepared.kafka, topics.matches, topics.processed, auto_offset_reset="earliest"
        )
        await consumer.start()
        announced = []
        wanted = {str(name) for one in unannounced for name in (one.face_id, one.event_id)}
        try:
            async with asyncio.timeout(30):
                while len(announced) < len(wanted):
                    headers = dict((await consumer.getone()).headers)
                    announced += wanted & {headers.get("ce_id", b"").decode()}
        finally:
            await consumer.stop()
        assert sorted(announced) == sorted(wanted)

    return check


async def plant_snapshots(stored):
    keys = [snapshot_key(unique("door"), NOON, uuid4()) for _ in range(2)]
    for key in keys:
        await stored.crops.put(key, b"jpeg")
    await stored.crops.put("snapshots/notes.txt", b"not ours")

    async def check():
        assert not any([await stored.crops.exists(key) for key in keys])
        assert await stored.crops.exists("snapshots/notes.txt")

    return check


async def plant_rows_without_snapshot(stored):
    results = [with_snapshot(a_result(faces=0, model=stored.model)) for _ in range(2)]
    await commit_results(stored.records, results)
    await stored.records.mark_announced([one.key for one in results])

    async def check():
        async with opened(MaintenanceStores.of(stored.prepared)) as stores:
            frames = [one.event.uuid for one in results]
            assert await stores.records.snapshot_keys(frames) == {}

    return check


async def plant_claim_checks(stored):
    keys = [f"frames/{uuid4()}.jpg", f"uploads/{uuid4()}.png"]
    for key in keys:
        await stored.crops.put(key, b"image")

    async def check():
        assert not any([await stored.crops.exists(key) for key in keys])

    return check


PLANTS = {
    Fault.WRONG_SUSPENSION: plant_suspensions,
    Fault.CROP_WITHOUT_ROW: plant_crops,
    Fault.SIGHTING_WITHOUT_ROW: plant_sightings,
    Fault.TEMPLATE_WITHOUT_ROW: plant_templates,
    Fault.ROW_WITHOUT_CROP: plant_rows_without_crop,
    Fault.ROW_WITHOUT_EMBEDDING: plant_rows_without_embedding,
    Fault.SNAPSHOT_WITHOUT_ROW: plant_snapshots,
    Fault.ROW_WITHOUT_SNAPSHOT: plant_rows_without_snapshot,
    Fault.WRONG_MEAN: plant_means,
    Fault.NOT_ANNOUNCED: plant_unannounced,
    Fault.OLD_CLAIM_CHECK: plant_claim_checks,
}


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_planted_fault_is_found_and_repaired(clean, fault, stored, prepared, records):
    whole = await stored.a_face()
    later = with_snapshot(followed(the_result(an_event(), stored.model), whole))
    await stored.crops.put(later.snapshot_key, b"jpeg")
    await commit_results(stored.records, [later])
    await stored.records.mark_announced([later.key])
    repaired = await PLANTS[fault](stored)
    await asyncio.sleep(1.1)  # S3 reports the time of a write in whole seconds
    settings = young(prepared)
    if fault is Fault.OLD_CLAIM_CHECK:
        settings = short_lived(settings)
    if fault is Fault.NOT_ANNOUNCED:
        kafka = settings.kafka.model_copy(update={"frames_processed": True})
        settings = settings.model_copy(update={"kafka": kafka})
    expected = dict.fromkeys(Fault, (0, 0))
    found = await reconcile(settings, dry_run=True)
    assert found == expected | {fault: (2, 0)}
    assert await reconcile(settings, dry_run=True) == found, "a dry run changes nothing"
    assert await reconcile(settings) == expected | {fault: (2, 2)}
    await repaired()
    assert await reconcile(settings) == expected
    assert await stored.crops.exists(whole.crop_key)
    assert await stored.crops.exists(later.snapshot_key)
    async with opened(MaintenanceStores.of(prepared)) as stores:
        assert await stores.records.crop_keys([whole.face_id]) == {whole.face_id: whole.crop_key}
        assert await stores.vectors.there([whole.face_id]) == {whole.face_id}


async def test_what_is_younger_than_the_grace_is_work_in_progress(clean, stored, prepared):
    for without in (("row",), ("crop",), ("embedding",), ("announcement",)):
        await stored.a_face(without=without)
    settings = young(prepared, grace=600.0)
    assert set((await reconcile(settings)).values()) == {(0, 0)}
    await reconcile(young(prepared))


async def test_nothing_is_deleted_that_a_worker_is_about_to_commit(
    clean, stored, prepared, records, vectors, crops
):
    """An event delivered again writes over an old crop, whose row comes only with the commit."""
    event = an_event()
    result = the_result(event, stored.model)
    match = result.faces[0].match
    await crops.put(match.crop_key, b"jpeg")
    sighting = Sighting(
        face_id=match.face_id, user_id=None, embedding=stored.a_vector(), captured_at=NOON
    )
    await vectors.add_sightings(stored.model, [sighting])
    await asyncio.sleep(1.1)  # S3 tells the time of a write in whole seconds
    async with records.claim([result.key]) as claim:
        busy = await reconcile(young(prepared, quiet_wait=0.2))
        assert busy[Fault.CROP_WITHOUT_ROW] == (1, 0)
        assert busy[Fault.SIGHTING_WITHOUT_ROW] == (1, 0)
        patient = asyncio.create_task(reconcile(young(prepared, quiet_wait=20.0)))
        async with asyncio.timeout(20):
            while not await is_waiting(records):  # noqa: ASYNC110 - a server has no event to wait for
                await asyncio.sleep(0.02)
        await claim.commit([result])
    await patient
    assert await crops.exists(match.crop_key)
    async with opened(MaintenanceStores.of(prepared)) as stores:
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


async def test_the_command_reports_remaining_and_repaired_faults(clean, environment, crops):
    await crops.put(crop_key(unique("door"), NOON - timedelta(days=1), uuid4()), b"jpeg")
    await asyncio.sleep(1.1)  # S3 reports the time of a write in whole seconds

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


async def test_field_15_the_reconciler_waits_for_a_change_in_progress(clean, stored, prepared):
    """A deactivation: the templates are suspended, but the user's row is not committed yet."""
    user = await stored.a_user()
    await stored.vectors.enrol(uuid4(), user, stored.model, stored.a_vector(), NOON)
    async with stored.records._connection("test") as connection, connection.transaction():
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", user)
        await stored.vectors.suspend_user(user)
        async with opened(MaintenanceStores.of(prepared)) as stores:
            reconciler = Reconciler(stores, young(prepared), False, lambda *_: None)
            aligning = asyncio.create_task(reconciler._align(user))
            async with asyncio.timeout(20):
                while not await is_locked_out(stored.records):  # noqa: ASYNC110 - a server has no event to wait for
                    await asyncio.sleep(0.02)
            assert not aligning.done()
            await connection.execute("COMMIT")
            await connection.execute("BEGIN")
            assert await aligning
    assert (await stored.gallery())[user] is None
    await stored.vectors.erase(DataSubject(user))


async def is_locked_out(records):
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)"
        )
