"""What migrations may do while workers write."""

import io
import re
import runpy
from importlib.resources import files

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

VERSIONS = files("infra") / "migrations" / "main" / "versions"

#: Those of the first release made indexes with their tables, or of small ones.
FIRST_FOR_LARGE_TABLES = "0006"


def statements_of(path):
    """The SQL of a migration's upgrade."""
    said = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said}
    )
    with Operations.context(context):
        runpy.run_path(str(path))["upgrade"]()
    return said.getvalue()


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(VERSIONS.iterdir(), key=lambda one: one.name)
        if path.name.endswith(".py") and path.name >= FIRST_FOR_LARGE_TABLES
    ],
    ids=lambda path: path.name,
)
def test_field_04_no_migration_makes_an_index_while_it_keeps_others_off_the_table(path):
    """All migrations are one transaction; indexes are made by `ensure_indexes`.

    A table that the migration makes itself is empty, and no other client uses it yet.
    """
    statements = statements_of(path)
    assert re.search("ALTER TABLE|CREATE FUNCTION|CREATE TABLE", statements)
    made = set(re.findall(r"CREATE TABLE (\w+)", statements))
    on_others = [
        line
        for line in statements.splitlines()
        if re.search(r"\bINDEX\b", line)
        and not (
            (table := re.search(r"CREATE (?:UNIQUE )?INDEX \w+ ON (\w+) ", line))
            and table[1] in made
        )
    ]
    assert on_others == []
