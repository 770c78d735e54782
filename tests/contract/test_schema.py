"""Models and migrations agree, and the migrations do what they promise."""

import asyncio
from importlib.resources import files
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from infra.database.migrate import METADATA, SUPERSEDED, ensure_database, ensure_indexes, migrate
from sinks.main.schema import Face, FaceEmbedding, User
from sinks.vector.partitions import partition_name
from tests.contract.builders import NOON, a_result, a_vector, unique
from tests.stored_records import commit_results, stored_user


@pytest.fixture
def of(prepared):
    return {"main": prepared.main_db, "vector": prepared.vector_db}


@pytest.mark.parametrize("which", ["main", "vector"])
async def test_models_and_migrations_agree(of, which, vectors):
    await vectors.ensure_model(unique("partition"), 4)  # its table is no difference

    def compare(connection):
        def ours(_object, name, kind, _reflected, _other):
            return kind != "table" or not name.startswith("face_embeddings_")

        options = {
            "compare_type": True, "compare_server_default": True, "include_object": ours,
        }  # fmt: skip
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, METADATA[which])

    engine = create_async_engine(of[which].sqlalchemy_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)
    await engine.dispose()
    assert differences == []


async def checks_of(settings, table):
    connection = await asyncpg.connect(settings.dsn)
    rows = await connection.fetch(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::regclass", table
    )
    await connection.close()
    return {row[0] for row in rows}


@pytest.mark.parametrize("which", ["main", "vector"])
async def test_check_constraints_agree_too(of, which):
    """Alembic does not compare these."""
    for name, table in METADATA[which].tables.items():
        expected = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
        assert await checks_of(of[which], name) == expected


async def test_a_partition_checks_model_and_dimension(of, vectors):
    model = unique("partition")
    await vectors.ensure_model(model, 4)
    name = partition_name(model)
    assert {f"{name}_model", f"{name}_dimension"} <= await checks_of(of["vector"], name)
    connection = await asyncpg.connect(of["vector"].dsn)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(
            "INSERT INTO face_embeddings (face_id, model, kind, embedding, captured_at)"
            " VALUES ($1, $2, 'sighting', '[1,2,3]', now())", uuid4(), model,
        )  # fmt: skip
    await connection.close()


async def test_the_models_read_what_the_sinks_write(of, records, vectors, rng_vector):
    user = await stored_user(records, f"{unique('orm')}@example.org", "Grace")
    result = a_result(user_id=user.id)
    await commit_results(records, [result])
    model = unique("orm")
    await vectors.ensure_model(model, rng_vector.size)
    await vectors.enrol(uuid4(), user.id, model, rng_vector, NOON)

    main = create_async_engine(of["main"].sqlalchemy_url)
    async with AsyncSession(main) as session:
        face = await session.scalar(select(Face).where(Face.user_id == user.id))
        assert (face.camera_id, face.box) == (result.event.key, [0.1, 2.0, 30.5, 40.25])
        person = await session.get(User, user.id)
        before = person.updated_at
        person.full_name = "Grace Hopper"
        await session.commit()
        await session.refresh(person)
        assert person.updated_at > before
    await main.dispose()

    vector = create_async_engine(of["vector"].sqlalchemy_url)
    async with AsyncSession(vector) as session:
        row = await session.scalar(select(FaceEmbedding).where(FaceEmbedding.model == model))
        assert (row.kind, row.user_id) == ("template", user.id)
        assert row.embedding == pytest.approx(rng_vector.tolist())
    await vector.dispose()


@pytest.fixture
def rng_vector():
    import numpy as np

    return a_vector(np.random.default_rng(3), 8)


async def test_addresses_are_unique_in_any_case(of):
    connection = await asyncpg.connect(of["main"].dsn)
    address = f"{unique('twice')}@example.org"
    insert = "INSERT INTO users (email) VALUES ($1)"
    await connection.execute(insert, address)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, address.upper())
    await connection.close()


async def test_field_04_indexes_are_replaced_while_workers_write(of, records):
    """The old indexes remain until their replacements exist."""
    connection = await asyncpg.connect(of["main"].dsn)
    new = ("events_camera_at", "faces_at", "faces_camera_at", "faces_user_at")
    for name in new:
        await connection.execute(f"DROP INDEX CONCURRENTLY {name}")
    for name in SUPERSEDED["main"]:
        table = name.partition("_")[0]
        await connection.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} (captured_at)")
    lines = []
    done = asyncio.create_task(ensure_indexes("main", of["main"], lines.append))
    while not done.done():
        await commit_results(records, [a_result()])
    await done
    assert [line.split(": ")[1] for line in lines] == [
        *(f"made index {name}" for name in new),
        *(f"dropped index {name}" for name in SUPERSEDED["main"]),
    ]
    assert await connection.fetchval(
        "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = ANY($1::regclass[])", new
    ) == len(new)
    await connection.close()


async def test_indexes_of_embeddings_that_no_search_uses_are_dropped(of, vectors):
    model = unique("partition")
    await vectors.ensure_model(model, 4)
    name = f"{partition_name(model)}_hnsw"
    connection = await asyncpg.connect(of["vector"].dsn)
    await connection.execute(
        f"CREATE INDEX {name} ON {partition_name(model)}"
        " USING hnsw ((embedding::halfvec(4)) halfvec_cosine_ops) WHERE kind = 'sighting'"
    )
    lines = []
    await ensure_indexes("vector", of["vector"], lines.append)
    assert lines == [f"vector database: dropped index {name}"]
    assert await connection.fetchval("SELECT to_regclass($1)", name) is None
    await ensure_indexes("vector", of["vector"], lines.append)
    assert len(lines) == 1
    await connection.close()


async def test_faces_of_the_previous_release_and_its_workers_get_their_kind(prepared):
    """Faces stored before the migration, and faces that old workers store after it."""
    settings = prepared.main_db.model_copy(update={"name": unique("kinds").replace("-", "_")})
    await ensure_database(settings, print)
    await migrate("main", settings, print)
    engine = create_async_engine(settings.sqlalchemy_url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda one: command.downgrade(alembic_config(one), "0008"))
    await engine.dispose()
    connection = await asyncpg.connect(settings.dsn)
    user = await connection.fetchval(
        "INSERT INTO users (email) VALUES ('a@b.example') RETURNING id"
    )
    shapes = {"enrolled": (user, None), "known": (user, 0.7), "unknown": (None, 0.2)}

    async def store(age):
        return {
            await connection.fetchval(OLD_FACE, uuid4(), who, similarity, age): name
            for name, (who, similarity) in shapes.items()
        }

    faces = {**await store(0), **await store(100)}
    await migrate("main", settings, print)
    faces |= await store(0)
    rows = await connection.fetch("SELECT id, kind, track_id, best_face_id FROM faces")
    await connection.close()
    assert len(rows) == 9
    for row in rows:
        assert row["kind"] == ("enrolled" if faces[row["id"]] == "enrolled" else "frame")
        assert row["track_id"] is row["best_face_id"] is None


#: How workers of release 0.1 store a face; the last parameter is its age in days.
OLD_FACE = """
INSERT INTO faces (id, event_uuid, event_id, index, camera_id, captured_at, box, landmarks, score,
                   quality, model, user_id, similarity, created_at)
VALUES ($1, $1, 'e', 0, 'c', now(), '{1,2,3,4}', '{0,1,2,3,4,5,6,7,8,9}', 1, 1, 'm', $2, $3,
        now() - $4 * interval '1 day')
RETURNING id
"""


def alembic_config(connection):
    config = Config()
    config.set_main_option("script_location", str(files("infra") / "migrations" / "main"))
    config.attributes.update(connection=connection, metadata=METADATA["main"], steps=[])
    return config
