"""What a model in shadow says of live faces, compared with the model that serves, counted."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_COUNTS = ("faces", "embedded", "known", "covered", "same_best", "found", "confused", "taken")


def upgrade() -> None:
    op.create_table(
        "shadow_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("model", "serving", "camera_id")),
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
    op.create_index("shadow_counts_hour", "shadow_counts", ["hour"])


def downgrade() -> None:
    op.drop_table("shadow_counts")
