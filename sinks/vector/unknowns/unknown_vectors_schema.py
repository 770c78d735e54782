"""The tables of the gallery of unknowns, as SQLAlchemy models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import BigInteger, ForeignKey, Index, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from sinks.main.schema import NOW, TIMESTAMP, VectorBase


class UnknownHeadRow(VectorBase):
    """A model's gallery of unknowns: the revision of the latest change.

    The worker that compares a visit with the gallery keeps this row locked until what follows is
    written: so all workers together decide as one.
    """

    __tablename__ = "unknown_heads"

    model: Mapped[str] = mapped_column(
        ForeignKey("gallery_heads.model", name="unknown_heads_model_fkey"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class UnknownTemplateRow(VectorBase):
    """The template of an unknown.

    Without an embedding it is out of the gallery, and the row is there so that those who follow it
    learn of that.
    """

    __tablename__ = "unknown_templates"
    __table_args__ = (
        Index("unknown_templates_revision", "model", "revision", unique=True),
        Index("unknown_templates_gone", "updated_at", postgresql_where=text("embedding IS NULL")),
    )

    unknown_id: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(
        ForeignKey("unknown_heads.model", name="unknown_templates_model_fkey"), primary_key=True
    )
    embedding: Mapped[Any | None] = mapped_column(VECTOR())
    revision: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class UnknownExemplarRow(VectorBase):
    """The embedding of a visit that a template is made of: the mean of the visit's faces.

    That of an unknown who was given a name is set aside: it counts for nothing, and is kept for an
    undo as long as the unknown is.
    """

    __tablename__ = "unknown_exemplars"
    __table_args__ = (Index("unknown_exemplars_unknown", "unknown_id", "model"),)

    visit_id: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(
        ForeignKey("unknown_heads.model", name="unknown_exemplars_model_fkey"), primary_key=True
    )
    unknown_id: Mapped[UUID] = mapped_column(Uuid)
    embedding: Mapped[Any] = mapped_column(VECTOR())
    set_aside: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
