"""How much a photo counts in its user's template; photos that are there count in full."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a constant default no row is written or read, however many there are.
    op.add_column(
        "face_embeddings",
        sa.Column("weight", sa.REAL, nullable=False, server_default=sa.text("1")),
    )


def downgrade() -> None:
    op.drop_column("face_embeddings", "weight")
