import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.events import EventKind, MatchKind
from domain.liveness_result import Liveness
from domain.personal_data import DataSubject
from domain.store_rows import Outcome
from sinks.main.main_store import Records
from sinks.store_errors import StoreRejected, StoreUnavailable
from tests.contract.builders import MODEL, NOON, a_result, an_event, unique
from tests.stored_records import commit_results, ledger_row, settled_rows, stored_user


async def test_a_commit_is_read_back_exactly(records):
    result = a_result(faces=3)
    assert await commit_results(records, [result]) == {result.key}

    stored = await records.faces_of(result.event.uuid, MODEL)
    assert tuple(stored) == result.faces
    row = await ledger_row(records, result.event.uuid, MODEL)
    assert (row.kind, row.source, row.id, row.key) == (
        "frame", result.event.source, result.event.id, result.event.key,
    )  # fmt: skip
    assert (row.width, row.height, row.face_count) == (640, 480, 3)
    assert row.outcome is Outcome.FACES
    assert row.captured_at == result.event.captured_at
    assert not row.announced
    assert row.answer is None


async def test_an_event_without_faces_has_a_result_too(records):
    result = a_result(faces=0)
    await commit_results(records, [result])
    settled = await settled_rows(records, [result.key, (uuid4(), MODEL)])
    assert set(settled) == {result.key}
    assert settled[result.key].outcome is Outcome.NO_FACE


async def test_the_first_result_wins_whole(records):
    event = an_event()
    first, second = a_result(event, faces=2, score=0.5), a_result(event, faces=5, score=0.9)
    assert await commit_results(records, [first]) == {first.key}
    assert await commit_results(records, [second]) == set()
    assert tuple(await records.faces_of(event.uuid, MODEL)) == first.faces


async def test_duplicates_within_a_batch_count_once(records):
    event = an_event()
    first, second = a_result(event, faces=1), a_result(event, faces=3)
    assert await commit_results(records, [first, second, first]) == {first.key}
    assert len(await records.faces_of(event.uuid, MODEL)) == 1


async def test_results_of_two_models_are_independent(records):
    event = an_event()
    ours, other = a_result(event), a_result(event, model="other")
    assert await commit_results(records, [ours, other]) == {ours.key, other.key}
    assert [row.match.model for row in await records.faces_of(event.uuid, "other")] == ["other"]


async def test_racing_workers_write_each_event_once(records):
    events = [an_event() for _ in range(40)]
    batches = [[a_result(event, faces=worker + 1) for event in events] for worker in range(6)]
    for worker in (1, 3, 5):
        batches[worker].reverse()
    written = await asyncio.gather(*(commit_results(records, batch) for batch in batches))
    assert sum(map(len, written)) == len(events)
    for worker, keys in enumerate(written):
        for uuid, model in keys:
            assert len(await records.faces_of(uuid, model)) == worker + 1


async def test_an_answer_survives_as_json(records):
    result = a_result(
        an_event(kind=EventKind.SEARCH), faces=0, answer=b'{"text":"\\u00e9 \\"","n":[1.5,null]}'
    )
    await commit_results(records, [result])
    row = (await settled_rows(records, [result.key]))[result.key]
    assert row.kind == "search"
    assert row.answer == '{"n": [1.5, null], "text": "é \\""}'.encode()


async def test_an_announcement_is_recorded_once_and_only_for_the_named_events(records):
    ours, other = a_result(), a_result()
    await commit_results(records, [ours, other])
    await records.mark_announced([ours.key])
    settled = await settled_rows(records, [ours.key, other.key])
    assert settled[ours.key].announced
    assert not settled[other.key].announced
    await records.mark_announced([ours.key])
    assert (await settled_rows(records, [ours.key]))[ours.key] == settled[ours.key]


async def test_empty_calls_do_nothing(records):
    assert await commit_results(records, []) == set()
    assert await settled_rows(records, []) == {}
    await records.mark_announced([])
    assert await records.users([]) == {}


async def test_the_face_of_a_deleted_user_becomes_unknown(records, prepared):
    user = await stored_user(records, f"{unique('gone')}@example.org")
    before = a_result(user_id=user.id)
    await commit_results(records, [before])
    connection = await asyncpg.connect(prepared.main_db.dsn)
    await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    await connection.close()
    after = a_result(user_id=user.id)
    assert await commit_results(records, [after]) == {after.key}
    for result in (before, after):
        (row,) = await records.faces_of(result.event.uuid, MODEL)
        assert row.match.user_id is None


async def test_field_01_a_match_of_an_erased_user_is_no_match_any_more(records, prepared):
    user = await stored_user(records, f"{unique('gone')}@example.com")
    result = a_result(user_id=user.id)
    await commit_results(records, [result])
    (row,) = await records.faces_of(result.event.uuid, MODEL)
    assert (row.match.user_id, row.match.decision) == (user.id, "matched")
    connection = await asyncpg.connect(prepared.main_db.dsn)
    await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    await connection.close()
    (row,) = await records.faces_of(result.event.uuid, MODEL)
    assert (row.match.user_id, row.match.decision) == (None, "below_threshold")


async def test_the_deletion_of_a_user_during_the_commit_does_not_fail_it(records, prepared):
    user = await stored_user(records, f"{unique('going')}@example.org")
    connection = await asyncpg.connect(prepared.main_db.dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    result = a_result(user_id=user.id)
    commit = asyncio.create_task(commit_results(records, [result]))
    while not await connection.fetchval(  # noqa: ASYNC110 - the condition is the server's
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ):
        await asyncio.sleep(0.01)
    await transaction.commit()
    assert await commit == {result.key}
    assert (await records.faces_of(result.event.uuid, MODEL))[0].match.user_id is None
    await connection.close()


async def test_a_claim_says_which_users_exist_and_holds_off_their_deletion(records, prepared):
    user = await stored_user(records, f"{unique('held')}@example.org")
    result = a_result(user_id=user.id)
    connection = await asyncpg.connect(prepared.main_db.dsn)
    await commit_results(records, [result])
    async with records.claim([result.key, (uuid4(), MODEL)], users=[user.id, uuid4()]) as claim:
        assert claim.users == {user.id}
        assert set(claim.existing) == {result.key}
        await connection.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    assert await connection.execute("DELETE FROM users WHERE id = $1", user.id) == "DELETE 1"
    await connection.close()


async def test_a_claim_sees_what_was_committed_while_it_waited(records):
    result = a_result()
    async with records.claim([result.key]) as claim:
        waiting = asyncio.create_task(existing(records, result.key))
        while not await waiting_for_a_lock(records):  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(0.01)
        await claim.commit([result])
    assert await waiting == {result.key}


async def existing(records, key):
    async with records.claim([key]) as claim:
        return set(claim.existing)


async def waiting_for_a_lock(records):
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        )


async def test_a_claim_is_made_while_the_ledger_gets_a_column(prepared):
    """As by `init-db` of the next release; the session has prepared the statement before."""
    settings = prepared.main_db.model_copy(update={"pool_min": 1, "pool_max": 1})
    connection = await asyncpg.connect(prepared.main_db.dsn)
    async with Records(settings) as records:
        result = a_result()
        assert await commit_results(records, [result]) == {result.key}
        await connection.execute("ALTER TABLE events ADD COLUMN later integer")
        try:
            assert await existing(records, result.key) == {result.key}
            another = a_result()
            assert await commit_results(records, [another]) == {another.key}
        finally:
            await connection.execute("ALTER TABLE events DROP COLUMN later")
        assert await existing(records, result.key) == {result.key}
    await connection.close()


async def test_users_are_found_by_address_in_any_case(records):
    name = unique("Ada")
    made = await stored_user(records, f"{name}@Example.org", "Ada")
    assert (made.email, made.full_name, made.is_active) == (f"{name}@Example.org", "Ada", True)
    unused = uuid4()
    assert await records.users([made.id, unused]) == {made.id: made}
    assert await records.user(unused) is None


async def test_recent_faces_come_newest_first_and_filtered(records):
    camera = unique("door")
    user = await stored_user(records, f"{unique('u')}@example.org")
    results = [
        a_result(an_event(camera, seconds=n), user_id=user.id if n % 2 else None) for n in range(6)
    ]
    await commit_results(records, results[::-1])
    listed = await records.recent_faces(10, camera=camera)
    assert listed == [result.faces[0] for result in results[::-1]]
    assert await records.recent_faces(2, camera=camera) == listed[:2]
    assert await records.recent_faces(9, user=user.id) == [listed[0], listed[2], listed[4]]
    since = NOON + timedelta(seconds=4)
    assert await records.recent_faces(9, camera=camera, since=since) == listed[:2]


async def test_a_face_keeps_its_kind_and_an_enrolled_one_was_not_seen(records):
    """Also after its user was deleted without an erasure, and with any similarity."""
    user = await stored_user(records, f"{unique('u')}@example.org")
    seen, enrolled = (a_result(user_id=user.id) for _ in range(2))
    (row,) = enrolled.faces
    match = structs.replace(row.match, kind=MatchKind.ENROLLED)
    enrolled = structs.replace(enrolled, faces=(structs.replace(row, match=match),))
    await commit_results(records, [seen, enrolled])
    assert await records.recent_faces(10, user=user.id) == list(seen.faces)
    traces = await records.traces(DataSubject(user.id))
    assert (traces.counts["enrolled faces"], traces.counts["links of sightings"]) == (1, 1)
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM users WHERE id = $1", user.id)
    for result, kind in ((seen, "frame"), (enrolled, "enrolled")):
        (face,) = await records.faces_of(result.event.uuid, result.model)
        assert (face.match.kind, face.match.user_id) == (kind, None)


@pytest.mark.parametrize("bad", ["nul \0 byte", "lone \ud800 surrogate"])
async def test_text_that_postgres_cannot_store_is_rejected(records, bad):
    with pytest.raises(StoreRejected):
        await commit_results(records, [a_result(an_event(bad))])


async def test_a_face_of_wrong_shape_is_rejected_and_nothing_of_it_is_written(records):
    good, bad = a_result(), a_result()
    face = bad.faces[0]
    broken = type(face)(match=face.match, index=0, landmarks=(1.0, 2.0))
    bad = type(bad)(**{f: getattr(bad, f) for f in bad.__struct_fields__} | {"faces": (broken,)})
    with pytest.raises(StoreRejected):
        await commit_results(records, [good, bad])
    assert await settled_rows(records, [good.key, bad.key]) == {}


async def test_an_absent_server_is_an_outage_without_the_password(nowhere):
    with pytest.raises(StoreUnavailable) as caught:
        await Records(nowhere.main_db).connect()
    assert nowhere.main_db.password.get_secret_value() not in str(caught.value)
    assert "main database" in str(caught.value)


async def test_a_wrong_password_is_unavailable(prepared):
    wrong = prepared.main_db.model_copy(update={"password": type(prepared.main_db.password)("x")})
    with pytest.raises(StoreUnavailable):
        await Records(wrong).connect()


async def test_a_cut_connection_is_one_outage_and_is_then_replaced(prepared):
    async with Records(prepared.main_db.model_copy(update={"pool_max": 1})) as records:
        await records.ping()
        admin = await asyncpg.connect(prepared.main_db.dsn)
        async with records._connection("find the process") as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(StoreUnavailable):
                async with records._connection("again"):
                    await connection.execute("SELECT pg_sleep(5)")
        await admin.close()
        result = a_result()
        assert await commit_results(records, [result]) == {result.key}


_ATTEMPTS = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=8), min_size=1, max_size=6
)


@given(batches=_ATTEMPTS)
async def test_any_order_and_repetition_leaves_the_first_results(records, batches):
    events = [an_event() for _ in range(6)]
    expected = {}
    for batch in batches:
        results = [a_result(events[which], faces=faces) for which, faces in batch]
        fresh = set()
        for result in results:
            if result.key not in expected:
                expected[result.key] = result
                fresh.add(result.key)
        assert await commit_results(records, results) == fresh
    keys = [(event.uuid, MODEL) for event in events]
    assert {k: row.face_count for k, row in (await settled_rows(records, keys)).items()} == {
        key: len(result.faces) for key, result in expected.items()
    }
    for key, result in expected.items():
        assert tuple(await records.faces_of(*key)) == result.faces


async def test_the_liveness_of_a_face_is_read_back(records):
    result = a_result(faces=2)
    checked = Liveness(model="minifasnet-1", score=1 / 3, status="spoof")
    first, second = result.faces
    match = structs.replace(first.match, liveness=checked)
    await commit_results(
        records,
        [structs.replace(result, faces=(structs.replace(first, match=match), second))],
    )
    found = await records.faces_of(result.event.uuid, result.model)
    assert [face.match.liveness or None for face in found] == [checked, None]
