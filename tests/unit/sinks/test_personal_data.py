"""No table or column that can name a user or a face is missing from the list of personal data."""

from dataclasses import fields
from typing import get_type_hints

import pytest
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
)

from domain.personal_data import PersonalData
from infra.database import migrate
from sinks.main.main_store import Records
from sinks.stores import Stores
from sinks.vector.vector_store import Vectors

#: Neither a user nor a face is in them: what each table has else that is no number and no time.
IMPERSONAL = {
    "events": {"event_uuid", "model", "kind", "source", "id", "outcome"},
    "faces": {
        "event_uuid",
        "event_id",
        "camera_id",
        "box",
        "model",
        "kind",
        "decision",
        "liveness",
        "correction_id",
    },
    "audit": {"actor", "action", "request_id"},
    "api_keys": {"id", "name", "secret_hash", "scopes"},
    "face_embeddings": {"model", "kind"},
    "gallery": {"model"},
    "gallery_heads": {"model"},
    "visits": {
        "visit_id",
        "camera_id",
        "state",
        "unknown_id",
        "reason",
        "continues",
        "liveness",
        "correction_id",
    },
    "visit_faces": {"visit_id", "camera_id", "event_id"},
    "visit_cameras": {"camera_id", "checkpoint_event"},
    "visit_messages": {"visit_id", "camera_id", "type"},
    "snapshots": {"camera_id"},
    "people_messages": {"change_id"},
    "unknowns": {"id", "model", "state"},
    "unknown_members": {"origin_id"},
    "unknown_pairs": {"relation", "reason"},
    "unknown_proposals": {"kind"},
    "unknown_heads": {"model"},
    "unknown_templates": {"unknown_id", "model"},
    "unknown_exemplars": {"visit_id", "model", "unknown_id"},
    "corrections": {"id", "kind", "actor", "visit_id", "undoes"},
    "promoted_photos": {"correction_id", "event_uuid"},
    "corrected_faces": {"correction_id", "decision", "before"},
    "corrected_visits": {"correction_id", "visit_id", "before"},
    "vetoes": {"correction_id", "withdrawn_by"},
    "correction_work": {"correction_id"},
    "models": {"id", "kind", "sha256", "mean", "deviation", "state"},
    "shadow_counts": {"model", "serving", "camera_id"},
}

METADATA = {Records: migrate.METADATA["main"], Vectors: migrate.METADATA["vector"]}

#: Columns without personal data, unless they refer to a table with some.
_PLAIN = (Boolean, Float, Integer, Numeric, DateTime, Date)


def places(store):
    return {*store.erased_places, *store.kept_places}


def unlisted(metadata, listed, impersonal):
    """What may name a user or a face, and is not on the list; tables of which nothing is said."""
    found = set()
    for table in metadata.tables.values():
        of_this = {
            place.partition(".")[2] for place in listed if place.startswith(f"{table.name}.")
        }
        judged = of_this | impersonal.get(table.name, set())
        found |= {
            f"{table.name}.{column.name}"
            for column in table.columns
            if column.name not in judged
            and (column.foreign_keys or not isinstance(column.type, _PLAIN))
        }
        if not judged:
            found.add(table.name)
    return found


@pytest.mark.parametrize("store", METADATA)
def test_every_column_that_can_name_a_user_or_a_face_is_on_the_list(store):
    assert unlisted(METADATA[store], places(store), IMPERSONAL) == set()


@pytest.mark.parametrize("store", METADATA)
def test_what_is_on_the_list_is_there(store):
    tables = METADATA[store].tables.values()
    columns = {f"{table.name}.{column.name}" for table in tables for column in table.columns}
    assert places(store) <= columns
    assert not store.erased_places.keys() & store.kept_places.keys()


@pytest.mark.parametrize("store", METADATA)
def test_what_refers_to_a_user_or_a_face_is_never_called_impersonal(store):
    named = {"user_id", "face_id", "user_ids", "face_ids", "people", "embedding", "crop_key"}
    for table in METADATA[store].tables.values():
        for column in table.columns:
            refers = {key.column.table.name for key in column.foreign_keys} & {"users", "faces"}
            if refers or column.name in named:
                assert column.name not in IMPERSONAL.get(table.name, set())


@pytest.mark.parametrize(
    "column",
    [
        Column("who", Uuid, ForeignKey("users.id")),
        Column("who", BigInteger, ForeignKey("faces.id")),
        Column("user_id", Uuid),
        Column("members", ARRAY(Uuid)),
        Column("best_face_id", Text),
        Column("embedding", VECTOR(4)),
        Column("detail", JSON),
        Column("thumbnail", LargeBinary),
        Column("note", Text),
    ],
    ids=lambda column: f"{column.name}-{column.type}",
)
@pytest.mark.parametrize("table", ["novelties", "lost_embeddings"])
def test_a_new_table_or_column_has_to_be_judged(table, column):
    metadata = MetaData()
    for known in ("users", "faces"):
        Table(known, metadata, Column("id", Uuid, primary_key=True))
    Table(table, metadata, Column("at", DateTime, primary_key=True), column._copy())
    assert f"{table}.{column.name}" in unlisted(metadata, places(Records), IMPERSONAL)


def test_a_new_table_of_numbers_has_to_be_judged_too():
    metadata = MetaData()
    Table("novelties", metadata, Column("at", DateTime, primary_key=True), Column("n", Integer))
    assert unlisted(metadata, places(Records), IMPERSONAL) == {"novelties"}


def test_every_store_is_on_the_list_and_the_main_database_comes_last():
    types = get_type_hints(Stores)
    stores = {field.name: types[field.name] for field in fields(Stores)}
    listed = Stores(**{name: name for name in stores}).personal_data
    assert set(listed) == stores.keys()
    assert listed[-1] == "records"
    assert all(issubclass(one, PersonalData) for one in stores.values())
    assert len({one.receipt_name for one in stores.values()}) == len(stores)
