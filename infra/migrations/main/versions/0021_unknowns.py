"""Unknowns: people who are seen again and not enrolled, with their visits."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    # All are new, and empty while their indexes are made.
    _create_unknowns()
    _create_members()
    _create_pairs()
    _create_proposals()


def downgrade() -> None:
    for name in ("unknown_proposals", "unknown_pairs", "unknown_members", "unknowns"):
        op.drop_table(name)


def _create_unknowns() -> None:
    op.create_table(
        "unknowns",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'open'")),
        sa.Column("merged_into", sa.Uuid),
        sa.Column("user_id", sa.Uuid),
        sa.Column("visits", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("first_seen_at", TIMESTAMP, nullable=False),
        sa.Column("last_seen_at", TIMESTAMP, nullable=False),
        sa.Column("templates_due", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("changed_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("consolidation_due_at", TIMESTAMP),
        sa.ForeignKeyConstraint(
            ["merged_into"], ["unknowns.id"], name="unknowns_merged_into_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="unknowns_user_id_fkey", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "state IN ('open', 'dismissed', 'promoted', 'merged')", name="unknowns_state"
        ),
        sa.CheckConstraint(
            "(state = 'merged') = (merged_into IS NOT NULL)", name="unknowns_merged"
        ),
        sa.CheckConstraint(
            "(state = 'promoted') = (user_id IS NOT NULL)", name="unknowns_promoted"
        ),
    )
    op.create_index(
        "unknowns_seen", "unknowns", ["state", sa.text("last_seen_at DESC"), sa.text("id DESC")]
    )
    op.create_index("unknowns_changed", "unknowns", ["changed_at"])
    op.create_index(
        "unknowns_user", "unknowns", ["user_id"], postgresql_where=sa.text("user_id IS NOT NULL")
    )
    op.create_index(
        "unknowns_merged_into",
        "unknowns",
        ["merged_into"],
        postgresql_where=sa.text("state = 'merged'"),
    )
    op.create_index(
        "unknowns_consolidation_due",
        "unknowns",
        ["model", "id"],
        postgresql_where=sa.text("consolidation_due_at IS NOT NULL"),
    )
    op.create_index(
        "unknowns_templates_due", "unknowns", ["id"], postgresql_where=sa.text("templates_due")
    )


def _create_members() -> None:
    op.create_table(
        "unknown_members",
        sa.Column("visit_id", sa.Uuid, primary_key=True),
        sa.Column("unknown_id", sa.Uuid, nullable=False),
        sa.Column("origin_id", sa.Uuid, nullable=False),
        sa.Column("similarity", sa.Double),
        sa.Column("added_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["visit_id"],
            ["visits.visit_id"],
            name="unknown_members_visit_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["unknown_id"],
            ["unknowns.id"],
            name="unknown_members_unknown_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index("unknown_members_unknown", "unknown_members", ["unknown_id"])


def _create_pairs() -> None:
    op.create_table(
        "unknown_pairs",
        sa.Column("one", sa.Uuid, primary_key=True),
        sa.Column("other", sa.Uuid, primary_key=True),
        sa.Column("relation", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["one"], ["unknowns.id"], name="unknown_pairs_one_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["other"], ["unknowns.id"], name="unknown_pairs_other_fkey", ondelete="CASCADE"
        ),
        sa.CheckConstraint("one < other", name="unknown_pairs_order"),
        sa.CheckConstraint("relation IN ('apart', 'together')", name="unknown_pairs_relation"),
        sa.CheckConstraint("reason IN ('frame', 'operator')", name="unknown_pairs_reason"),
    )
    op.create_index("unknown_pairs_other", "unknown_pairs", ["other"])


def _create_proposals() -> None:
    op.create_table(
        "unknown_proposals",
        sa.Column("unknown_id", sa.Uuid, primary_key=True),
        sa.Column("other_id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("similarity", sa.Double, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["unknown_id"],
            ["unknowns.id"],
            name="unknown_proposals_unknown_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["other_id"],
            ["unknowns.id"],
            name="unknown_proposals_other_id_fkey",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("kind IN ('merge', 'split')", name="unknown_proposals_kind"),
        sa.CheckConstraint(
            "(kind = 'split') = (unknown_id = other_id)", name="unknown_proposals_other"
        ),
    )
    op.create_index("unknown_proposals_other_id", "unknown_proposals", ["other_id"])
