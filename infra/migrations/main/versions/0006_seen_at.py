"""The time to use where the camera's own is not trusted; listings use it.

Workers and APIs of the release before continue to work: they leave the column empty, which means
that ``captured_at`` counts, and read as before. The indexes by this time are made outside of the
migrations (`ensure_indexes`), and replace those by ``captured_at``: made
here, they would lock both tables for that time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)

# Rows whose time is after the time at which they were stored, which is the known time that is
# nearest to Kafka's.
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
