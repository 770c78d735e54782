"""The retention on real stores, and what remains when it is interrupted."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec import structs

from domain.events import MatchKind, utc_now
from domain.personal_data import Cutoffs, DataSubject
from infra.maintenance.faults import Fault
from infra.maintenance.maintenance_stores import MaintenanceStores
from infra.maintenance.retention import retain
from sinks.store_errors import StoreUnavailable
from sinks.stores import opened
from tests.contract.builders import NOON, a_match, an_event
from tests.contract.stored_people import followed, reconcile, the_result, young
from tests.stored_records import commit_results, ledger_row


def keeping(prepared, **retention):
    changed = prepared.retention.model_copy(update=retention)
    return young(prepared).model_copy(update={"retention": changed})


async def age(sink, table, column, where, days):
    async with sink._connection("test") as connection:
        await connection.execute(
            f"UPDATE {table} SET {column} = $1 WHERE {where}",  # noqa: S608
            utc_now() - timedelta(days=days),
        )


async def run(settings, *, dry_run=False):
    async with opened(MaintenanceStores.of(settings)) as stores:
        done = await retain(stores, settings, lambda *_: None, dry_run=dry_run)
    return {one.what: one.deleted if not dry_run else one.found for one in done}


async def enrol(stored):
    """An enrolled face, which is kept at any age."""
    user = await stored.a_user()
    result = the_result(an_event(), stored.model, user_id=user)
    (row,) = result.faces
    match = structs.replace(row.match, similarity=None, kind=MatchKind.ENROLLED)
    result = structs.replace(result, faces=(structs.replace(row, match=match),))
    await stored.crops.put(match.crop_key, b"jpeg")
    await stored.vectors.enrol(match.face_id, user, stored.model, stored.a_vector(), NOON)
    await commit_results(stored.records, [result])
    await stored.records.mark_announced([result.key])
    return user, match


async def test_old_sightings_are_deleted_from_all_stores_and_nothing_else(clean, stored, prepared):
    old = [await stored.a_face() for _ in range(7)]
    recent = await stored.a_face()
    user, enrolled = await enrol(stored)
    ids = ", ".join(f"'{one.face_id}'" for one in (*old, enrolled))
    await age(stored.records, "faces", "created_at", f"id IN ({ids})", 31)
    settings = keeping(prepared, sightings_days=30.0)
    assert (await run(keeping(prepared)))["sightings"] == 0, "unset keeps everything"
    assert (await run(settings, dry_run=True))["sightings"] == 7
    done = await run(settings)
    assert (done["sightings"], done["crops"], done["embeddings"]) == (7, 7, 7)
    async with opened(MaintenanceStores.of(prepared)) as stores:
        all_faces = [one.face_id for one in (*old, recent, enrolled)]
        kept = {recent.face_id, enrolled.face_id}
        assert (await stores.records.crop_keys(all_faces)).keys() == kept
        assert await stores.vectors.there(all_faces) == kept
    assert not any([await stored.crops.exists(one.crop_key) for one in old])
    assert await stored.crops.exists(recent.crop_key)
    assert await stored.crops.exists(enrolled.crop_key)
    assert (await stored.vectors.traces(DataSubject(user))).counts["templates"] == 1
    assert (await run(settings))["sightings"] == 0


async def test_a_face_is_shown_by_no_crop_once_its_best_face_is_too_old(clean, stored, prepared):
    best = await stored.a_face()
    later = followed(the_result(an_event(), stored.model), best)
    await commit_results(stored.records, [later])
    await stored.records.mark_announced([later.key])
    await age(stored.records, "faces", "created_at", f"id = '{best.face_id}'", 31)
    assert (await run(keeping(prepared, sightings_days=30.0)))["crops"] == 1
    (left,) = await stored.records.faces_of(later.event.uuid, stored.model)
    assert (left.match.crop_key, left.match.fresh) == (None, False)
    assert set((await reconcile(young(prepared))).values()) == {(0, 0)}


async def test_the_reconciler_deletes_what_an_interrupted_run_leaves(
    clean, stored, prepared, nowhere
):
    old = [await stored.a_face() for _ in range(3)]
    ids = ", ".join(f"'{one.face_id}'" for one in old)
    await age(stored.records, "faces", "created_at", f"id IN ({ids})", 31)
    settings = keeping(prepared, sightings_days=30.0)
    with pytest.raises(StoreUnavailable):
        await run(settings.model_copy(update={"s3": nowhere.s3}))
    await asyncio.sleep(1.1)  # S3 reports the time of a write in whole seconds
    found = await reconcile(young(prepared))
    assert found.pop(Fault.CROP_WITHOUT_ROW) == (3, 3)
    assert set(found.values()) == {(0, 0)}
    assert not any([await stored.crops.exists(one.crop_key) for one in old])


async def test_the_ledger_is_pruned_except_for_unannounced_events(clean, stored, prepared):
    announced, unannounced = an_event(), an_event()
    results = [the_result(event, stored.model) for event in (announced, unannounced)]
    await commit_results(stored.records, results)
    await stored.records.mark_announced([results[0].key])
    await age(stored.records, "events", "processed_at", f"model = '{stored.model}'", 100)
    settings = keeping(prepared, ledger_days=99.0)
    assert (await run(settings, dry_run=True))["ledger lines"] == 1
    assert (await run(settings))["ledger lines"] == 1
    assert await ledger_row(stored.records, announced.uuid, stored.model) is None
    assert await ledger_row(stored.records, unannounced.uuid, stored.model) is not None


async def test_old_matches_leave_the_cache(recents, prepared):
    camera = uuid4().hex
    matches = [a_match(an_event(camera, seconds=seconds)) for seconds in (0, 10)]
    await recents.remember_matches(matches)
    await recents.expire(Cutoffs(NOON + timedelta(seconds=5), None, 1000))
    assert await recents.recent(10, camera) == matches[1:]
