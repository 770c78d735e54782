"""A time that counts, where the camera's own is not trusted; listings go by it.

Workers and APIs of the release before go on: they leave the column empty, which means that
``captured_at`` counts, and read as they did. The indexes by the time that counts are made beside
the migrations (`ensure_indexes`), and take the place of those by ``captured_at``: made
here, they would keep all others off both tables for so long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)

# Rows that lie ahead of the time at which they were stored, which of all that is known of them is
# the nearest to Kafka's time.
_SETTLE = """
UPDATE {table} SET seen_at = {stored} WHERE captured_at > {stored} + interval '60 seconds'
"""


def upgrade() -> None:
    op.add_column("faces", sa.Column("seen_at", TIMESTAMP))
    op.add_column("events", sa.Column("seen_at", TIMESTAMP))
    op.execute(_SETTLE.format(table="faces", stored="created_at"))
    op.execute(_SETTLE.format(table="events", stored="processed_at"))


def downgrade() -> None:
    for name in ("faces_at", "faces_camera_at", "faces_user_at"):
        op.drop_index(name, "faces", if_exists=True)
    op.drop_index("events_camera_at", "events", if_exists=True)
    op.drop_column("faces", "seen_at")
    op.drop_column("events", "seen_at")
    newest_first = [sa.text("captured_at DESC"), sa.text("id DESC")]
    op.create_index("faces_time", "faces", newest_first, if_not_exists=True)
    op.create_index("faces_camera_time", "faces", ["camera_id", *newest_first], if_not_exists=True)
    op.create_index("faces_user_time", "faces", ["user_id", *newest_first], if_not_exists=True)
    op.create_index(
        "events_camera_time",
        "events",
        ["key", "captured_at"],
        postgresql_where=sa.text("kind = 'frame'"),
        if_not_exists=True,
    )
