"""The statements on visits search in indexes, also with plans that were made for empty tables."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest_asyncio
from msgspec import structs

from infra.database.migrate import ensure_database, migrate
from services.stored_visits import (
    VisitFilter,
    announced_since,
    count_visits,
    faces_of_visit,
    find_visit,
    list_visits,
    open_visits,
)
from sinks.main import expiry
from sinks.main.database_sessions import Databases
from sinks.main.visit_store import VisitStore
from sinks.main.visits import visit_erasure
from tests.contract.builders import NOON, a_match, an_event, unique
from tests.contract.stored_visits import a_change, a_message, a_visit, at, face_of

CAMERAS, VISITS, FACES = 200, 20_000, 200_000

#: A visit a minute at each camera, with a face a second.
FILL = [
    (
        "INSERT INTO users (id, email) SELECT md5('user ' || n)::uuid, n || '@example.org'"
        " FROM generate_series(0, 99) AS n"
    ),
    f"""
    INSERT INTO faces (id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks,
                       score, quality, model, user_id, similarity, track_id)
    SELECT md5('face ' || n)::uuid, md5('event ' || n)::uuid, 'event ' || n, 0,
           'camera ' || n / 10 % {CAMERAS},
           $1::timestamptz + n / (10 * {CAMERAS}) * interval '1 minute' + n % 10 * interval '1 s',
           '{{1,2,3,4}}', '{{0,1,2,3,4,5,6,7,8,9}}', 1, 1, 'm', md5('user ' || n / 10 % 100)::uuid,
           0.7, md5('track ' || n / 10)::uuid
    FROM generate_series(0, {FACES - 1}) AS n
    """,  # noqa: S608
    f"""
    INSERT INTO visits (visit_id, camera_id, revision, state, user_id, started_at, last_seen_at,
                        ended_at, faces, late, best_face_id)
    SELECT md5('visit ' || n)::uuid, 'camera ' || n % {CAMERAS}, 2, 'ended',
           md5('user ' || n % 100)::uuid,
           $1::timestamptz + n / {CAMERAS} * interval '1 minute',
           $1::timestamptz + n / {CAMERAS} * interval '1 minute' + interval '9 s',
           $1::timestamptz + n / {CAMERAS} * interval '1 minute' + interval '9 s', 10, 0,
           md5('face ' || n * 10)::uuid
    FROM generate_series(0, {VISITS - 1}) AS n
    """,  # noqa: S608
    f"""
    INSERT INTO visit_faces (face_id, visit_id, camera_id, at, event_id)
    SELECT md5('face ' || n)::uuid, md5('visit ' || n / 10)::uuid, camera_id, captured_at, event_id
    FROM generate_series(0, {FACES - 1}) AS n JOIN faces ON id = md5('face ' || n)::uuid
    WHERE $1::timestamptz IS NOT NULL
    """,  # noqa: S608
    f"""
    INSERT INTO visit_cameras (camera_id, version, partition, clock)
    SELECT 'camera ' || n, 1, n % 8, $1::timestamptz + interval '1 day'
    FROM generate_series(0, {CAMERAS - 1}) AS n
    """,  # noqa: S608
]

# Statistics in between would have Postgres make other plans.
KEEP_PLANS = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', name);
    END LOOP;
END
$$
"""

READ = """
SELECT pg_stat_force_next_flush(), sum(seq_tup_read)::bigint AS whole,
       sum(idx_tup_fetch)::bigint AS found
FROM pg_stat_user_tables
"""


async def use_all(store, name):
    """Call every method, as often as it takes until Postgres keeps the plans."""
    for index in range(8):
        camera = f"{name} {index}"
        face = face_of(a_match(an_event(camera)), track_id=uuid4(), user_id=uuid4())
        visit = a_visit(camera, [face])
        await store.known([face.face_id])
        change = a_change(
            camera, [face], visit, messages=(a_message(visit),), checkpoint=b"{}",
            checkpoint_after=face.frame, merged=((uuid4(), visit.visit_id),),
        )  # fmt: skip
        await store.commit([change])
        await store.commit(
            [structs.replace(change, version=1, faces=((face.face_id, None),), messages=())]
        )
        await store.unsent([camera])
        await store.sent([a_message(visit)])
        await store.camera(camera)
        await store.cameras([10**6])
        await store.late_visit(camera, face)
        await store.add_late([(face.face_id, uuid4())])


async def rows_read(store):
    """Rows that were read one after the other, and rows that were found by indexes."""
    async with store._connection("test") as connection:
        await connection.fetch(READ)
    async with store._connection("test") as connection:
        row = await connection.fetchrow(READ)
    return row["whole"], row["found"]


@pytest_asyncio.fixture(scope="module")
async def large(prepared):
    """A database of its own, whose tables grow after the plans were made; settings and store."""
    settings = prepared.main_db.model_copy(
        update={"name": unique("plans").replace("-", "_"), "pool_min": 1, "pool_max": 1}
    )
    await ensure_database(settings, print)
    await migrate("main", settings, print)
    async with VisitStore(settings) as store:
        connection = await asyncpg.connect(settings.dsn)
        await connection.execute(KEEP_PLANS)
        await use_all(store, "empty")
        for statement in FILL:
            values = [NOON] if "$1" in statement else []
            await connection.execute(statement, *values)
        await connection.close()
        yield settings, store


async def test_plans_for_empty_tables_do_not_read_large_ones(large):
    _, store = large
    before = await rows_read(store)
    await use_all(store, "large")
    whole, found = [
        after - earlier for after, earlier in zip(await rows_read(store), before, strict=True)
    ]
    assert whole == 0
    assert found < 8 * 2 * CAMERAS, "each listing of cameras reads them all, and nothing else much"


async def test_what_is_read_of_a_camera_grows_with_its_last_hour_alone(large):
    _, store = large
    before = await rows_read(store)
    (_, found_before), camera = before, "camera 7"
    stored = await store.camera(camera)
    assert (stored.faces, stored.visits) == ((), ()), "its clock is a day further"
    face = face_of(a_match(an_event(camera)), at=at(3005))
    assert await store.late_visit(camera, face) is None
    late = structs.replace(face, user_id=UUID("0" * 32), track_id=uuid4())
    assert await store.late_visit(camera, late) is None
    whole, found = await rows_read(store)
    assert whole == before[0]
    assert found - found_before < 200


async def test_erasure_and_retention_search_in_indexes(large):
    settings, _ = large
    connection = await asyncpg.connect(settings.dsn)
    await connection.execute("ANALYZE")
    user, edge = await connection.fetchval("SELECT user_id FROM visits LIMIT 1"), at(-86400)
    for statement, values in (
        (visit_erasure.COUNTS, (user,)),
        (visit_erasure.CROP_KEYS, (user,)),
        (visit_erasure.FORGET_CROPS, (user,)),
        (visit_erasure.UNLINK_VISITS, (user,)),
        (expiry.DELETE_OLD_SIGHTINGS, (edge, 500)),
        (expiry.SOME_OLD_VISITS, (edge, 500)),
        (expiry.DELETE_OLD_VISITS, (edge, [user])),
        ("DELETE FROM visit_faces WHERE face_id = $1", (user,)),
        ("UPDATE visits SET best_face_id = NULL WHERE best_face_id = $1", (user,)),
        ("DELETE FROM visit_faces WHERE visit_id = $1", (user,)),
    ):
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *values))
        for table in ("visits", "visit_faces", "faces"):
            assert f"Seq Scan on {table}" not in plan, plan
    await connection.close()


async def test_listings_walk_along_indexes(large):
    """As the API asks: the newest first, of all, of a camera, of a user; and who is there."""
    settings, _ = large
    connection = await asyncpg.connect(settings.dsn)
    await connection.execute("ANALYZE visits")
    for condition, index in (
        ("true", "visits_at"),
        ("camera_id = 'camera 7'", "visits_camera_at"),
        ("user_id = md5('user 7')::uuid", "visits_user_at"),
        ("ended_at IS NULL", "visits_open"),
    ):
        rows = await connection.fetch(
            f"EXPLAIN SELECT * FROM visits WHERE {condition}"  # noqa: S608
            " ORDER BY started_at DESC, visit_id DESC LIMIT 50"
        )
        plan = "\n".join(row[0] for row in rows)
        assert f"{index} " in plan, plan
    await connection.close()


async def test_what_readers_ask_for_is_found_by_indexes(large, prepared):
    """Every way to ask for visits, whatever the size of the tables."""
    settings, store = large
    camera, moment = "camera 7", NOON + timedelta(days=9)
    large_settings = prepared.model_copy(update={"main_db": settings})
    async with Databases(large_settings) as databases, databases.main() as session:
        (visit,) = await list_visits(session, VisitFilter(camera=camera), 1)
        user, visit_id = visit.user_id, visit.visit_id
    filters = (
        VisitFilter(),
        VisitFilter(camera=camera),
        VisitFilter(user=user),
        VisitFilter(unknown_id=uuid4()),
        VisitFilter(is_open=True),
        VisitFilter(camera=camera, is_open=True),
        VisitFilter(since=moment),
        VisitFilter(camera=camera, user=user, until=NOON),
    )
    before = await rows_read(store)
    async with Databases(large_settings) as databases:
        for _ in range(8):  # until Postgres keeps the plans
            async with databases.main() as session:
                for wanted in filters:
                    await list_visits(session, wanted, 10)
                    await list_visits(session, wanted, 10, (NOON, visit_id))
                await count_visits(session, VisitFilter(camera=camera), 10)
                await open_visits(session, camera, None, 10)
                await open_visits(session, None, user, 10)
                await announced_since(session, moment + timedelta(days=900), None, None, 10)
                assert await find_visit(session, visit_id)
                assert len(await faces_of_visit(session, visit_id, 5)) == 5
    whole, found = [
        after - earlier for after, earlier in zip(await rows_read(store), before, strict=True)
    ]
    assert whole == 0
    assert 0 < found < 8 * 1000
