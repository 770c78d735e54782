"""The tables of corrections in the main database, as SQLAlchemy models.

`sinks.main.people.correction_store` writes them.
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
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sinks.main.schema import NOW, TIMESTAMP, MainBase


def _user(table: str, column: str, ondelete: str) -> ForeignKey:
    return ForeignKey("users.id", name=f"{table}_{column}_fkey", ondelete=ondelete)


def _face(table: str) -> ForeignKey:
    return ForeignKey("faces.id", name=f"{table}_face_id_fkey", ondelete="CASCADE")


def _correction(table: str, column: str = "correction_id") -> ForeignKey:
    return ForeignKey("corrections.id", name=f"{table}_{column}_fkey", ondelete="CASCADE")


class CorrectionRow(MainBase):
    """What a person has said; an undo is a correction, too. A trigger refuses every change.

    A correction that names a user who is erased is deleted, with all that follows from it.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        CheckConstraint(
            "user_id IS NOT NULL OR unknown_id IS NOT NULL", name="corrections_subject"
        ),
        Index("corrections_unknown", "unknown_id", postgresql_where=text("unknown_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    made_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    # `domain.decisions.corrections.CorrectionKind`.
    kind: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(_user("corrections", "user_id", "CASCADE"))
    other_user_id: Mapped[UUID | None] = mapped_column(
        _user("corrections", "other_user_id", "CASCADE")
    )
    face_id: Mapped[UUID | None] = mapped_column(Uuid)
    visit_id: Mapped[UUID | None] = mapped_column(Uuid)
    # Not a foreign key: what was said stays listed when the retention of the unknown has ended.
    unknown_id: Mapped[UUID | None] = mapped_column(Uuid)
    undoes: Mapped[UUID | None] = mapped_column(_correction("corrections", "undoes"), unique=True)
    # Numbers, and what an undo needs of a user.
    detail: Mapped[Any] = mapped_column(JSONB)


Index("corrections_time", CorrectionRow.made_at.desc(), CorrectionRow.id.desc())
Index("corrections_user", CorrectionRow.user_id)
Index("corrections_other_user", CorrectionRow.other_user_id)


class CorrectedFaceRow(MainBase):
    """What was said of a face before a correction, for its undo."""

    __tablename__ = "corrected_faces"
    __table_args__ = (
        Index("corrected_faces_face", "face_id"),
        Index("corrected_faces_user", "user_id"),
    )

    correction_id: Mapped[UUID] = mapped_column(_correction("corrected_faces"), primary_key=True)
    face_id: Mapped[UUID] = mapped_column(_face("corrected_faces"), primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(_user("corrected_faces", "user_id", "SET NULL"))
    similarity: Mapped[float | None] = mapped_column(Double)
    runner_up_similarity: Mapped[float | None] = mapped_column(Double)
    decision: Mapped[str | None] = mapped_column(Text)
    # The correction before.
    before: Mapped[UUID | None] = mapped_column(Uuid)


class CorrectedVisitRow(MainBase):
    """What was said of a visit before a correction, for its undo."""

    __tablename__ = "corrected_visits"
    __table_args__ = (
        Index("corrected_visits_visit", "visit_id"),
        Index("corrected_visits_user", "user_id"),
    )

    correction_id: Mapped[UUID] = mapped_column(_correction("corrected_visits"), primary_key=True)
    visit_id: Mapped[UUID] = mapped_column(
        ForeignKey("visits.visit_id", name="corrected_visits_visit_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    user_id: Mapped[UUID | None] = mapped_column(_user("corrected_visits", "user_id", "SET NULL"))
    similarity: Mapped[float | None] = mapped_column(Double)
    before: Mapped[UUID | None] = mapped_column(Uuid)


class PromotedPhotoRow(MainBase):
    """A photo that a promotion has sent in to be enrolled, by its event: an undo takes it out."""

    __tablename__ = "promoted_photos"
    __table_args__ = (Index("promoted_photos_event", "event_uuid"),)

    correction_id: Mapped[UUID] = mapped_column(_correction("promoted_photos"), primary_key=True)
    event_uuid: Mapped[UUID] = mapped_column(primary_key=True)


class VetoRow(MainBase):
    """The embedding of a face is not this user's, as a correction says.

    ``withdrawn_by`` names a later correction that says that it is.
    """

    __tablename__ = "vetoes"
    __table_args__ = (Index("vetoes_face", "face_id"), Index("vetoes_user", "user_id"))

    correction_id: Mapped[UUID] = mapped_column(_correction("vetoes"), primary_key=True)
    face_id: Mapped[UUID] = mapped_column(_face("vetoes"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(_user("vetoes", "user_id", "CASCADE"), primary_key=True)
    withdrawn_by: Mapped[UUID | None] = mapped_column(
        ForeignKey("corrections.id", name="vetoes_withdrawn_by_fkey", ondelete="SET NULL")
    )


class CorrectionWorkRow(MainBase):
    """A correction that the other stores may not follow yet, or whose faces are to be announced."""

    __tablename__ = "correction_work"

    correction_id: Mapped[UUID] = mapped_column(_correction("correction_work"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
