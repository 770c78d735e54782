"""Cursors: the position at which a listing, newest first, continues."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from sqlalchemy import ColumnElement, SQLColumnExpression, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from api.http.problems import ApiProblem
from api.schemas.common import MAX_PAGE


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: the next one begins after it, whatever was added in the meantime."""

    at: datetime
    id: UUID

    def encode(self) -> str:
        """As an opaque text."""
        text = f"{self.at.isoformat()}|{self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """From what `encode` made.

        Raises:
            ApiProblem: ``invalid_cursor``.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            at, _, identifier = base64.urlsafe_b64decode(padded.encode()).decode().partition("|")
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is not None:
                return cls(moment.astimezone(UTC), UUID(identifier))
        except (ValueError, OverflowError, binascii.Error, UnicodeError):
            pass
        raise ApiProblem(422, "invalid_cursor", "the cursor is not one that a listing gave")


@dataclass(frozen=True, slots=True)
class Page:
    """How much to list, and from where."""

    limit: int
    after: Cursor | None

    def older(
        self,
        at: SQLColumnExpression[datetime],
        identifier: InstrumentedAttribute[UUID],
    ) -> list[ColumnElement[bool]]:
        """The condition for rows after the cursor, by time and id, newest first."""
        if self.after is None:
            return []
        return [tuple_(at, identifier) < tuple_(self.after.at, self.after.id)]

    def next_cursor(self, rows: "list[tuple[datetime, UUID]] | Any") -> str | None:
        """The cursor for the page after these rows, of which one more than the limit was read."""
        if len(rows) <= self.limit:
            return None
        return Cursor(*rows[self.limit - 1]).encode()


def get_page(
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows in a page")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before")
    ] = None,
) -> Page:
    """The page that a request selects."""
    return Page(limit, Cursor.decode(cursor) if cursor is not None else None)


PageDep = Annotated[Page, Depends(get_page)]
