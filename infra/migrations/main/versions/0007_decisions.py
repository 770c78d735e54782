"""What decided about a face; null for faces that were stored before."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten, and older workers continue without it.
    op.add_column("faces", sa.Column("decision", sa.Text))


def downgrade() -> None:
    op.drop_column("faces", "decision")
