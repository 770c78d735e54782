"""Rows of the ledger contain the users that they name, and the addresses of their photos.

Both indexes over them are made outside of the migrations (`ensure_indexes`): inside of one,
nothing could be written to the ledger in the meantime.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without defaults, so that no row is written; older workers leave both empty.
    op.add_column("events", sa.Column("people", ARRAY(sa.Uuid)))
    op.add_column("events", sa.Column("dataref", sa.Text))


def downgrade() -> None:
    op.drop_column("events", "dataref")
    op.drop_column("events", "people")
