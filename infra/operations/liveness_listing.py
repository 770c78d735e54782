"""Liveness in listings of the command line."""

from collections.abc import Sequence

from domain.liveness_result import Liveness
from infra.terminal.tables import Column, Row, plain


def _status(value: object) -> str:
    return plain(value.status.replace("_", " ") if isinstance(value, Liveness) else None)


def with_liveness(columns: Sequence[Column], rows: Sequence[Row]) -> Sequence[Column]:
    """The columns, and that of liveness if it is known of any row."""
    if not any(row.get("liveness") for row in rows):
        return columns
    return (*columns, Column("liveness", "liveness", _status))
