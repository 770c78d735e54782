"""Whose a visit is, as a person has said: written with the announcement that says so."""

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import structs

from domain.visit_events import Visit, VisitMessage, VisitReason, VisitState, VisitType
from sinks.main.liveness_column import from_text
from sinks.main.people import correction_statements as sql
from sinks.main.visit_store import message_fields
from sinks.main.visits import visit_statements

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session

_encode = msgspec.json.Encoder().encode


async def label_visit(  # noqa: PLR0913, PLR0917 - the row and its new values
    connection: "Session",
    correction_id: UUID,
    visit: Visit,
    user_id: UUID | None,
    similarity: float | None,
    decided_by: UUID | None,
) -> None:
    """Write whose a visit is, and its next announcement."""
    await connection.execute(sql.KEEP_VISIT, correction_id, visit.visit_id)
    await connection.execute(sql.LABEL_VISIT, visit.visit_id, user_id, similarity, decided_by)
    announced = structs.replace(
        visit,
        revision=visit.revision + 1,
        user_id=user_id,
        similarity=similarity,
        correction_id=correction_id,
        reason=VisitReason.CORRECTED,
        supersedes=f"{visit.visit_id}/{visit.revision}",
    )
    message = VisitMessage(type=VisitType.UPDATED, visit=announced)
    rows = _encode([message_fields(0, message)]).decode()
    await connection.execute(visit_statements.MESSAGES, rows)


def visit_of(row: "asyncpg.Record") -> Visit:
    """A row of `correction_statements.VISIT` as its type."""
    fields = dict(row)
    fields["state"] = VisitState(fields["state"])
    fields["liveness"] = from_text(fields["liveness"])
    return Visit(**fields)
