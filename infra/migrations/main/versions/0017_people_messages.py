"""Messages of ``people.changes`` that are still to be sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people_messages",
        sa.Column("change_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("users", postgresql.ARRAY(sa.Uuid), nullable=False),
        sa.Column("body", postgresql.JSONB, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("people_messages")
