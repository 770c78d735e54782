"""The audit trail: who changed what, and when. The database refuses to change what it holds."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from config.observability.request_id import request_id
from sinks.main.schema import AuditEntry


def record(session: AsyncSession, actor: str, action: str, target: str, **detail: Any) -> None:
    """Add an entry to the session's transaction, so that both are committed, or neither.

    Args:
        session: on the main database.
        actor: ``key:{id}``, ``cli:{account}`` or ``anonymous``.
        action: ``{kind}.{verb}``.
        target: ``{kind}:{id}``.
        detail: identifiers and numbers; nothing personal, for it cannot be erased.
    """
    session.add(
        AuditEntry(
            actor=actor,
            action=action,
            target=target,
            detail=detail,
            request_id=request_id.get() or None,
        )
    )
