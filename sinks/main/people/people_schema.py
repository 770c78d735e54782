"""The table of messages of ``people.changes``, as a SQLAlchemy model."""

from typing import Any, Self
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Identity, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.people.people_changes import PeopleChange
from sinks.main.schema import MainBase


class PeopleMessageRow(MainBase):
    """A message that may not have been sent; nearly always there are none.

    It is written in the transaction of the change that it announces (`sinks.main.people`), and
    deleted when the broker has it, or when one of ``users`` is erased.
    """

    __tablename__ = "people_messages"

    change_id: Mapped[UUID] = mapped_column(primary_key=True)
    # The order in which the messages are sent.
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    users: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    # `domain.people.people_changes.PeopleChange`.
    body: Mapped[Any] = mapped_column(JSONB)

    @classmethod
    def of(cls, change: PeopleChange) -> Self:
        """The row of a change, for a session that makes it."""
        body = msgspec.to_builtins(change)
        return cls(change_id=change.change_id, users=sorted(change.users), body=body)
