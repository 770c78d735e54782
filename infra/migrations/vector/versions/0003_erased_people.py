"""Tombstones of people, whatever models there are; they begin with those of the galleries."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erased_people",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
    )
    op.execute(
        "INSERT INTO erased_people (user_id, erased_at)"
        " SELECT user_id, min(erased_at) FROM gallery WHERE erased_at IS NOT NULL GROUP BY user_id"
    )


def downgrade() -> None:
    op.drop_table("erased_people")
