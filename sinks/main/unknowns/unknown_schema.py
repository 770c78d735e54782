"""The tables of unknowns in the main database, as SQLAlchemy models.

`sinks.main.unknowns.unknown_store.UnknownStore` writes them; their templates are in the vector
database (`sinks.vector.unknowns`).
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from sinks.main.schema import NOW, TIMESTAMP, MainBase
from sinks.main.visit_schema import VisitRow


class UnknownRow(MainBase):
    """A person who is seen again and not enrolled.

    One that was merged leads to the one that is left, one that was promoted to its user. While
    ``templates_due``, the vector database does not have the last change yet. ``changed_at`` is
    when it had its last visit, by the clock of the database; ``consolidation_due_at`` when its
    visits changed after the last consolidation, None if they have not.
    """

    __tablename__ = "unknowns"
    __table_args__ = (
        CheckConstraint(
            "state IN ('open', 'dismissed', 'promoted', 'merged')", name="unknowns_state"
        ),
        CheckConstraint("(state = 'merged') = (merged_into IS NOT NULL)", name="unknowns_merged"),
        CheckConstraint("(state = 'promoted') = (user_id IS NOT NULL)", name="unknowns_promoted"),
        # For retention: how long ago it was seen, by the clock of the database.
        Index("unknowns_changed", "changed_at"),
        Index("unknowns_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        Index("unknowns_merged_into", "merged_into", postgresql_where=text("state = 'merged'")),
        Index(
            "unknowns_consolidation_due",
            "model",
            "id",
            postgresql_where=text("consolidation_due_at IS NOT NULL"),
        ),
        # Nearly always there are none.
        Index("unknowns_templates_due", "id", postgresql_where=text("templates_due")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    merged_into: Mapped[UUID | None] = mapped_column(
        ForeignKey("unknowns.id", name="unknowns_merged_into_fkey", ondelete="CASCADE")
    )
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", name="unknowns_user_id_fkey", ondelete="CASCADE")
    )
    visits: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    first_seen_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    last_seen_at: Mapped[datetime] = mapped_column(TIMESTAMP)
    templates_due: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    changed_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
    consolidation_due_at: Mapped[datetime | None] = mapped_column(TIMESTAMP)


# Newest first, with the id to break ties: what a cursor over a listing walks along.
Index("unknowns_seen", UnknownRow.state, UnknownRow.last_seen_at.desc(), UnknownRow.id.desc())


class UnknownMemberRow(MainBase):
    """Whose visit it is: an unknown's. ``origin_id`` is the one that it was given to at first."""

    __tablename__ = "unknown_members"
    __table_args__ = (Index("unknown_members_unknown", "unknown_id"),)

    visit_id: Mapped[UUID] = mapped_column(
        ForeignKey(VisitRow.visit_id, name="unknown_members_visit_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    unknown_id: Mapped[UUID] = mapped_column(
        ForeignKey(UnknownRow.id, name="unknown_members_unknown_id_fkey", ondelete="CASCADE")
    )
    origin_id: Mapped[UUID] = mapped_column(Uuid)
    similarity: Mapped[float | None] = mapped_column(Double)
    added_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class UnknownPairRow(MainBase):
    """Two unknowns who are two people, or who were joined by an operator: it outlives a regrouping.

    The smaller id comes first, so that there is one row for two unknowns.
    """

    __tablename__ = "unknown_pairs"
    __table_args__ = (
        CheckConstraint("one < other", name="unknown_pairs_order"),
        CheckConstraint("relation IN ('apart', 'together')", name="unknown_pairs_relation"),
        CheckConstraint("reason IN ('frame', 'operator')", name="unknown_pairs_reason"),
        Index("unknown_pairs_other", "other"),
    )

    one: Mapped[UUID] = mapped_column(
        ForeignKey(UnknownRow.id, name="unknown_pairs_one_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    other: Mapped[UUID] = mapped_column(
        ForeignKey(UnknownRow.id, name="unknown_pairs_other_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    relation: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)


class UnknownProposalRow(MainBase):
    """What the consolidation does not do by itself: a merge of two, or a split of one.

    Of a split, ``other_id`` is the same as ``unknown_id``.
    """

    __tablename__ = "unknown_proposals"
    __table_args__ = (
        CheckConstraint("kind IN ('merge', 'split')", name="unknown_proposals_kind"),
        CheckConstraint(
            "(kind = 'split') = (unknown_id = other_id)", name="unknown_proposals_other"
        ),
        Index("unknown_proposals_other_id", "other_id"),
    )

    unknown_id: Mapped[UUID] = mapped_column(
        ForeignKey(UnknownRow.id, name="unknown_proposals_unknown_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    other_id: Mapped[UUID] = mapped_column(
        ForeignKey(UnknownRow.id, name="unknown_proposals_other_id_fkey", ondelete="CASCADE"),
        primary_key=True,
    )
    kind: Mapped[str] = mapped_column(Text)
    similarity: Mapped[float] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP, server_default=NOW)
