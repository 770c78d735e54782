"""The best candidate of an unknown face; null for faces that were stored before.

The index for erasures is made afterwards (`ensure_indexes`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten, and older workers continue without it.
    op.add_column("faces", sa.Column("candidate_id", sa.Uuid))


def downgrade() -> None:
    op.drop_column("faces", "candidate_id")
