"""Statements that change the gallery of unknowns. The model's head is locked before any of them."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain.decisions.grouping import Exemplar, template_of
from sinks.vector.vector_format import decode_vector, encode_vector

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session

LOCK_HEAD = "SELECT revision FROM unknown_heads WHERE model = $1 FOR UPDATE"

LOCK_ALL_HEADS = "SELECT model FROM unknown_heads ORDER BY model FOR UPDATE"

# One that was set aside is part of no template.
OWNER = """
SELECT unknown_id FROM unknown_exemplars WHERE visit_id = $1 AND model = $2 AND NOT set_aside
"""

EXEMPLARS = """
SELECT visit_id, embedding FROM unknown_exemplars
WHERE unknown_id = $1 AND model = $2 AND NOT set_aside
ORDER BY visit_id
"""

DROP_EXEMPLARS = """
DELETE FROM unknown_exemplars
WHERE unknown_id = $1 AND model = $2 AND visit_id <> ALL($3::uuid[]) AND NOT set_aside
"""

# An exemplar of another unknown, which was merged or split, changes hands.
ADD_EXEMPLARS = """
INSERT INTO unknown_exemplars (visit_id, model, unknown_id, embedding)
SELECT visit_id, $1, $2, embedding
FROM unnest($3::uuid[], $4::vector[]) AS one (visit_id, embedding)
ON CONFLICT (visit_id, model) DO UPDATE
SET unknown_id = excluded.unknown_id, embedding = excluded.embedding, set_aside = false
WHERE unknown_exemplars.unknown_id <> excluded.unknown_id OR unknown_exemplars.set_aside
"""

WRITE_TEMPLATE = """
WITH head AS (
    UPDATE unknown_heads SET revision = revision + 1 WHERE model = $2 RETURNING revision
)
INSERT INTO unknown_templates (unknown_id, model, embedding, revision)
SELECT $1, $2, $3, revision FROM head
ON CONFLICT (unknown_id, model) DO UPDATE
SET embedding = excluded.embedding, revision = excluded.revision, updated_at = now()
"""

IN_GALLERY = """
SELECT unknown_id, model FROM unknown_templates
WHERE unknown_id = ANY($1::uuid[]) AND embedding IS NOT NULL ORDER BY model, unknown_id
"""

SET_ASIDE = """
UPDATE unknown_exemplars SET set_aside = true
WHERE unknown_id = $1 AND NOT set_aside RETURNING 1
"""

THOSE_SET_ASIDE = """
SELECT DISTINCT visit_id FROM unknown_exemplars WHERE unknown_id = $1 AND set_aside
"""

FORGET_SET_ASIDE = """
DELETE FROM unknown_exemplars
WHERE unknown_id = $1 AND set_aside AND visit_id = ANY($2::uuid[])
"""

TAKE_BACK = """
WITH taken AS (
    UPDATE unknown_exemplars SET set_aside = false WHERE unknown_id = $1 AND set_aside
    RETURNING model
)
SELECT DISTINCT model FROM taken ORDER BY model
"""

DELETE_EXEMPLARS = """
DELETE FROM unknown_exemplars WHERE unknown_id = ANY($1::uuid[]) RETURNING 1
"""

DELETE_EXEMPLARS_OF_VISITS = """
DELETE FROM unknown_exemplars WHERE visit_id = ANY($1::uuid[]) RETURNING unknown_id, model
"""

COUNT_EXEMPLARS = """
SELECT (SELECT count(*) FROM unknown_exemplars WHERE unknown_id = ANY($1::uuid[]))
     + (SELECT count(*) FROM unknown_exemplars
        WHERE visit_id = ANY($2::uuid[]) AND unknown_id <> ALL($1::uuid[]))
"""

#: How long those who follow the gallery have time to learn that an unknown is gone.
FORGET_GONE = """
DELETE FROM unknown_templates WHERE embedding IS NULL AND updated_at < now() - interval '7 days'
"""

#: Where these tables name faces, and what an erasure does about it.
ERASED_PLACES = {
    "unknown_exemplars.embedding": "deleted of an unknown with the user's name, and of own visits",
    "unknown_templates.embedding": "that of an unknown with the user's name is deleted; of others, "
    "made again without the user's visits",
}


async def keep_only(
    connection: "Session", model: str, unknown_id: UUID, visit_ids: Sequence[UUID]
) -> None:
    """Delete the exemplars of an unknown but for these."""
    await connection.execute(DROP_EXEMPLARS, unknown_id, model, list(visit_ids))


async def write_template(
    connection: "Session", model: str, unknown_id: UUID, exemplars: Sequence[Exemplar]
) -> None:
    """Write the template of these exemplars; without any the unknown is out of the gallery."""
    template = template_of(exemplars)
    embedding = None if template is None else encode_vector(template)
    await connection.execute(WRITE_TEMPLATE, unknown_id, model, embedding)


async def exemplars_of(connection: "Session", model: str, unknown_id: UUID) -> list[Exemplar]:
    """The visits that an unknown's template is made of."""
    rows = await connection.fetch(EXEMPLARS, unknown_id, model)
    return [Exemplar(row["visit_id"], decode_vector(row["embedding"])) for row in rows]


async def remove_visits(connection: "Session", visit_ids: Collection[UUID]) -> int:
    """Delete the exemplars of visits, and make the templates again without them.

    In the connection's transaction; harmless if repeated.

    Returns:
        How many exemplars were deleted.
    """
    if not visit_ids:
        return 0
    await connection.fetch(LOCK_ALL_HEADS)
    deleted = await connection.fetch(DELETE_EXEMPLARS_OF_VISITS, list(visit_ids))
    for model, unknown_id in sorted({(row["model"], row["unknown_id"]) for row in deleted}):
        left = await exemplars_of(connection, model, unknown_id)
        await write_template(connection, model, unknown_id, left)
    return len(deleted)


async def set_aside(connection: "Session", unknown_id: UUID) -> None:
    """Take an unknown out of every gallery, and keep its exemplars; harmless if repeated."""
    await connection.fetch(LOCK_ALL_HEADS)
    await connection.execute(SET_ASIDE, unknown_id)
    for row in await connection.fetch(IN_GALLERY, [unknown_id]):
        await connection.execute(WRITE_TEMPLATE, unknown_id, row["model"], None)


async def remove(connection: "Session", unknown_ids: Collection[UUID]) -> int:
    """Take unknowns out of every gallery, in the connection's transaction; harmless if repeated.

    Returns:
        How many exemplars were deleted.
    """
    if not unknown_ids:
        return 0
    asked = list(unknown_ids)
    await connection.fetch(LOCK_ALL_HEADS)
    deleted = await connection.fetch(DELETE_EXEMPLARS, asked)
    for row in await connection.fetch(IN_GALLERY, asked):
        await connection.execute(WRITE_TEMPLATE, row["unknown_id"], row["model"], None)
    return len(deleted)
