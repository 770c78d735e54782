"""Erasure finds the answers that name a user by an index, also in rows of older releases."""

import asyncio
from uuid import uuid4

import pytest
from msgspec import structs

from domain.events import EventKind
from domain.personal_data import DataSubject
from domain.store_rows import Outcome
from domain.upload_answers import RankedCandidate, SearchedFace, UploadAnswer, encode_answer
from infra.database.migrate import ensure_indexes
from sinks.main import user_erasure
from tests.contract.builders import MODEL, a_result, an_event
from tests.stored_records import commit_results

ROWS = 20_000

# Frames and searches; the searches name random users.
FILL = """
INSERT INTO events (event_uuid, model, kind, source, id, key, captured_at, width, height,
                    face_count, outcome, answer, people)
SELECT gen_random_uuid(), $1, CASE WHEN n % 2 = 0 THEN 'frame' ELSE 'search' END, 's', n::text,
       'k', now(), 1, 1, 0, CASE WHEN n % 2 = 0 THEN 'no_face' ELSE 'searched' END,
       CASE WHEN n % 2 = 1 THEN jsonb_build_object('faces', jsonb_build_array(
           jsonb_build_object('candidates', jsonb_build_array(
               jsonb_build_object('user_id', gen_random_uuid()))))) END,
       CASE WHEN n % 2 = 1 THEN ARRAY[gen_random_uuid()] END
FROM generate_series(1, $2::integer) AS n
"""


def naming(*people, decided=None):
    """A search whose answer has these users as candidates."""
    event = an_event(kind=EventKind.SEARCH)
    face = SearchedFace(
        face_id=uuid4(), box=(0, 0, 1, 1), score=1, quality=1, decision="matched", user_id=decided,
        candidates=tuple(RankedCandidate(user_id=one, similarity=0.5) for one in people),
    )  # fmt: skip
    answer = UploadAnswer(upload_id=event.key, status="searched", model=MODEL, faces=(face,))
    result = a_result(event, 0, answer=encode_answer(answer))
    return structs.replace(result, outcome=Outcome.SEARCHED, people=frozenset(people))


@pytest.fixture
async def many(records):
    """Many rows in the ledger, so that a scan would be slow; deleted at the end."""
    model = f"many-{uuid4().hex[:8]}"
    async with records._connection("test") as connection:
        await connection.execute(FILL, model, ROWS)
        await connection.execute("ANALYZE events")
    yield
    async with records._connection("test") as connection:
        await connection.execute("DELETE FROM events WHERE model = $1", model)


async def test_field_14_named_users_are_found_by_an_index(records, many):
    async with records._connection("explain") as connection, connection.transaction():
        # A small table would be scanned; one with millions of rows would not.
        await connection.execute("SET LOCAL enable_seqscan = off")
        for statement in (user_erasure.ANSWERS, user_erasure.DELETE_ANSWERS):
            plan = await plan_of(connection, statement, uuid4(), [uuid4()])
            assert "events_people " in plan, plan
            assert "events_pkey" in plan, plan
            assert "Seq Scan" not in plan, plan
        plan = await plan_of(connection, user_erasure.FILL_EVENT_USERS, 1000)
        assert "events_people_unknown" in plan, plan


async def plan_of(connection, statement, *values):
    rows = await connection.fetch(f"EXPLAIN {statement}", *values)
    return "\n".join(row[0] for row in rows)


async def test_field_14_all_users_named_in_an_answer_are_found(records):
    first, second, third = (uuid4() for _ in range(3))
    results = [naming(first, second), naming(second), naming(third)]
    await commit_results(records, results)
    for person, number in ((first, 1), (second, 2), (third, 1), (uuid4(), 0)):
        assert (await records.traces(DataSubject(person))).counts["answers to uploads"] == number
    assert sorted((await records.traces(DataSubject(second))).elsewhere.upload_ids) == sorted(
        one.event.key for one in results[:2]
    )


async def test_field_14_rows_of_an_older_release_are_completed_in_batches(records):
    while await records.fill_event_users(1000):
        pass
    person = uuid4()
    results = [naming(person, uuid4()) for _ in range(5)]
    await commit_results(records, results)
    async with records._connection("test") as connection:
        await connection.execute(
            "UPDATE events SET people = NULL WHERE event_uuid = ANY($1::uuid[])",
            [one.event.uuid for one in results],
        )
    assert [await records.fill_event_users(2) for _ in range(4)] == [2, 2, 1, 0]
    async with records._connection("test") as connection:
        rows = await connection.fetch(
            "SELECT people FROM events WHERE event_uuid = ANY($1::uuid[])",
            [one.event.uuid for one in results],
        )
    assert all(person in row["people"] and len(row["people"]) == 2 for row in rows)


async def test_field_14_indexes_are_made_while_the_ledger_is_written(prepared, records):
    """An interrupted index is created again, and two initialisers do not disturb each other."""
    async with records._connection("test") as connection:
        await connection.execute("DROP INDEX CONCURRENTLY events_people")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'events_people_unknown'::regclass"
        )
    lines = []
    done = asyncio.gather(
        *(ensure_indexes("main", prepared.main_db, lines.append) for _ in range(2))
    )
    while not done.done():
        await commit_results(records, [a_result()])
    await done
    assert sorted(line.rpartition(" ")[2] for line in lines) == [
        "events_people",
        "events_people_unknown",
    ]
    async with records._connection("test") as connection:
        assert await connection.fetchval(
            "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'events'::regclass"
        )
