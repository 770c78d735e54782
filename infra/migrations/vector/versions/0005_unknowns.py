"""The gallery of unknowns: their templates, and the visits that these are made of."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "unknown_heads",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(
            ["model"], ["gallery_heads.model"], name="unknown_heads_model_fkey"
        ),
    )
    op.create_table(
        "unknown_templates",
        sa.Column("unknown_id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("embedding", VECTOR()),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["model"], ["unknown_heads.model"], name="unknown_templates_model_fkey"
        ),
    )
    op.create_index(
        "unknown_templates_revision", "unknown_templates", ["model", "revision"], unique=True
    )
    op.create_index(
        "unknown_templates_gone",
        "unknown_templates",
        ["updated_at"],
        postgresql_where=sa.text("embedding IS NULL"),
    )
    op.create_table(
        "unknown_exemplars",
        sa.Column("visit_id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("unknown_id", sa.Uuid, nullable=False),
        sa.Column("embedding", VECTOR(), nullable=False),
        sa.Column("set_aside", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["model"], ["unknown_heads.model"], name="unknown_exemplars_model_fkey"
        ),
    )
    op.create_index("unknown_exemplars_unknown", "unknown_exemplars", ["unknown_id", "model"])


def downgrade() -> None:
    for name in ("unknown_exemplars", "unknown_templates", "unknown_heads"):
        op.drop_table(name)
