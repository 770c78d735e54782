"""Templates of photos that were taken out are kept for a while, and count for nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No default, so no row is written again; each partition gets it, too.
    op.add_column("face_embeddings", sa.Column("set_aside_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("face_embeddings", "set_aside_at")
