"""Lines of the ledger say whom they name, and where their photos lie.

Both indexes over them are made beside the migrations (`ensure_indexes`): within one,
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
