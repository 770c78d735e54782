"""Whether a person was there, of faces and visits; null where it was not checked."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("faces", "visits")


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten, and older workers continue without them.
    for table in _TABLES:
        op.add_column(table, sa.Column("liveness", JSONB))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "liveness")
