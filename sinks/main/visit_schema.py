"""The tables of visits in the main database, as SQLAlchemy models.

`sinks.main.visit_store.VisitStore` writes them. What stands in them has types of its own:
`domain.visit_events`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from sinks.main.schema import NOW, TIMESTAMP, Face, MainBase

#: Names of frames are compared as Python compares them, whatever the collation of the database.
FRAME_NAME = Text(collation="C")


class VisitRow(MainBase):
    """A visit, as it was announced last but for the counts: `domain.visit_events.Visit`.

    A visit of revision 0 was never announced, and one whose reason is ``merged`` has no faces any
    more: listings show neither. When its user is deleted, the visit stays, as an unknown's.
    """

    __tablename__ = "visits"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'open', 'ended')", name="visits_state"),
        CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="visits_ended_at"),
        # Of those that are not over, and of those that were over last.
        Index("visits_open", "camera_id", postgresql_where=text("ended_at IS NULL")),
        Index(
            "visits_ended",
            "camera_id",
            "ended_at",
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
        # For retention, and for the deletion of faces.
        Index("visits_created", "created_at"),
        Index("visits_best_face", "best_face_id"),
        # For streams that begin again: what was announced since a moment.
        Index("visits_changed", "changed_at"),
    )

    visit_id: Mapped[UUID] = mapped_column(primary_key=True)
    camera_id: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", name="visits_user_id_fkey", ondelete="SET NULL")
    )
    unknown_id: Mapped[UUID | None] = mapped_column(Uuid)
    similarity: Mapped[float | None] = mapped_column(Double)
    started_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    # In no index: it changes with every face, and such a change then touches no index.
    last_seen_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    ended_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    announced_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    faces: Mapped[int] = mapped_column(Integer)
    late: Mapped[int] = mapped_column(Integer)
    best_face_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("faces.id", name="visits_best_face_id_fkey", ondelete="SET NULL")
    )
    reason: Mapped[str | None] = mapped_column(Text)
    continues: Mapped[UUID | None] = mapped_column(Uuid)
    # `domain.liveness_result.Liveness`; NULL where it is not checked.
    liveness: Mapped[Any | None] = mapped_column(JSONB)
    # The correction by which a person has said who it is; then no face changes the user.
    correction_id: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    # When it was announced last, by the clock of the database. A trigger keeps it.
    changed_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    best: Mapped[Face | None] = relationship(lazy="joined", viewonly=True)

    @property
    def crop_key(self) -> str | None:
        """S3 key of the crop that shows the visit; None where it is gone."""
        return self.best.shown_crop_key if self.best else None


# Newest first, with the id to break ties: what a cursor over a listing walks along.
_NEWEST_FIRST = (VisitRow.started_at.desc(), VisitRow.visit_id.desc())
Index("visits_at", *_NEWEST_FIRST)
Index("visits_camera_at", VisitRow.camera_id, *_NEWEST_FIRST)
Index("visits_user_at", VisitRow.user_id, *_NEWEST_FIRST)
Index(
    "visits_unknown_at",
    VisitRow.unknown_id,
    *_NEWEST_FIRST,
    postgresql_where=VisitRow.unknown_id.is_not(None),
)


class VisitFaceRow(MainBase):
    """Which visit a face belongs to; with the frame, which gives the order of a camera's faces."""

    __tablename__ = "visit_faces"
    __table_args__ = (
        Index("visit_faces_visit_at", "visit_id", "at"),
        Index("visit_faces_camera_at", "camera_id", "at", "event_id"),
        # Nearly always there are none.
        Index("visit_faces_late", "visit_id", postgresql_where=text("late")),
    )

    face_id: Mapped[UUID] = mapped_column(
        ForeignKey("faces.id", name="visit_faces_face_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    visit_id: Mapped[UUID] = mapped_column(
        ForeignKey("visits.visit_id", name="visit_faces_visit_id_fkey", ondelete="CASCADE")
    )
    camera_id: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(TIMESTAMP)
    event_id: Mapped[str] = mapped_column(FRAME_NAME)
    late: Mapped[bool] = mapped_column(server_default=text("false"))
    face: Mapped[Face] = relationship(viewonly=True)


class VisitCameraRow(MainBase):
    """Where the visits agent stands with a camera: `domain.visit_events.StoredCamera`.

    ``version`` counts its commits. The checkpoint contains the frames up to ``checkpoint_at`` and
    ``checkpoint_event``; erasure deletes it if it names the user.
    """

    __tablename__ = "visit_cameras"

    camera_id: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    partition: Mapped[int] = mapped_column(Integer)
    clock: Mapped[datetime] = mapped_column(TIMESTAMP)
    checkpoint: Mapped[bytes | None] = mapped_column(LargeBinary)
    checkpoint_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    checkpoint_event: Mapped[str | None] = mapped_column(FRAME_NAME)
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class VisitMessageRow(MainBase):
    """A message of ``faces.visits`` that may not have been sent; nearly always there are none.

    The body does not name the user, who is in a column of its own: one who is erased before the
    message is sent is not in it.
    """

    __tablename__ = "visit_messages"
    __table_args__ = (Index("visit_messages_camera", "camera_id", "id"),)

    visit_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    # The order in which the messages are sent.
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    camera_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", name="visit_messages_user_id_fkey", ondelete="SET NULL")
    )
    body: Mapped[Any] = mapped_column(JSONB)
