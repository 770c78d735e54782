"""Alembic's entry: runs on the connection that `infra.database.migrate` hands over.

The connection comes in a transaction and under the lock that keeps two initialisers apart.
"""

from typing import Any

from alembic import context


def note(ctx: object, step: Any, heads: object, run_args: object) -> None:  # noqa: ARG001 - given by name
    """Record for `infra.database.migrate` which migration was applied."""
    context.config.attributes["steps"].append(f"{step.up_revision_id} ({step.up_revision.doc})")


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    on_version_apply=note,
)
context.run_migrations()
