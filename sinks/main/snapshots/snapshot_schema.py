"""The table of snapshots in the main database, as a SQLAlchemy model."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from sinks.main.schema import NOW, TIMESTAMP, MainBase


class SnapshotRow(MainBase):
    """A frame whose whole picture is kept: it is written with the faces of the frame.

    There is no foreign key to the ledger, which is pruned sooner.
    """

    __tablename__ = "snapshots"
    __table_args__ = (
        # For retention.
        Index("snapshots_created", "created_at"),
    )

    event_uuid: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    camera_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
