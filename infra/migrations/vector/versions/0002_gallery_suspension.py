"""People who are not to be matched for a while keep their templates, outside the gallery."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gallery", sa.Column("suspended_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        "gallery_suspended_is_empty", "gallery", "suspended_at IS NULL OR embedding IS NULL"
    )


def downgrade() -> None:
    op.drop_constraint("gallery_suspended_is_empty", "gallery")
    op.drop_column("gallery", "suspended_at")
