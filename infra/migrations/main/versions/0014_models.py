"""Embedders that replace one another."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("mean", postgresql.ARRAY(sa.Double), nullable=False),
        sa.Column("deviation", postgresql.ARRAY(sa.Double), nullable=False),
        sa.Column("mirror", sa.Boolean, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.CheckConstraint("state IN ('shadow', 'serving', 'retired')", name="models_state"),
        sa.CheckConstraint("dimension BETWEEN 1 AND 4000", name="models_dimension"),
    )
    op.create_index(
        "models_serving",
        "models",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'serving'"),
    )


def downgrade() -> None:
    op.drop_table("models")
