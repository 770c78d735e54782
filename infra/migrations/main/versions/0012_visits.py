"""Visits, their faces, where each camera stands, and messages that are still to be sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")

# Frames are in the order that Python gives their names, whatever the collation of the database.
FRAME_NAME = sa.Text(collation="C")

# When a visit was announced, by the clock of the database: the cameras' clocks differ, and a
# backlog has old times. A trigger keeps it, so that no writer can forget to.
TOUCH = """
CREATE FUNCTION visits_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    RETURN NEW;
END
$$
"""

TOUCH_TRIGGER = """
CREATE TRIGGER visits_touch BEFORE UPDATE ON visits FOR EACH ROW
WHEN (NEW.revision IS DISTINCT FROM OLD.revision) EXECUTE FUNCTION visits_touch()
"""


def upgrade() -> None:
    # All are new, and empty while their indexes are made.
    _create_visits()
    _create_visit_faces()
    _create_visit_cameras()
    _create_visit_messages()


def downgrade() -> None:
    for name in ("visit_messages", "visit_cameras", "visit_faces", "visits"):
        op.drop_table(name)
    op.execute("DROP FUNCTION visits_touch()")


def _create_visits() -> None:
    op.create_table(
        "visits",
        sa.Column("visit_id", sa.Uuid, primary_key=True),
        sa.Column("camera_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("unknown_id", sa.Uuid),
        sa.Column("similarity", sa.Double),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("last_seen_at", TIMESTAMP, nullable=False),
        sa.Column("ended_at", TIMESTAMP),
        sa.Column("announced_at", TIMESTAMP),
        sa.Column("faces", sa.Integer, nullable=False),
        sa.Column("late", sa.Integer, nullable=False),
        sa.Column("best_face_id", sa.Uuid),
        sa.Column("reason", sa.Text),
        sa.Column("continues", sa.Uuid),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("changed_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="visits_user_id_fkey", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["best_face_id"], ["faces.id"], name="visits_best_face_id_fkey", ondelete="SET NULL"
        ),
        sa.CheckConstraint("state IN ('pending', 'open', 'ended')", name="visits_state"),
        sa.CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="visits_ended_at"),
    )
    newest_first = [sa.text("started_at DESC"), sa.text("visit_id DESC")]
    op.create_index("visits_at", "visits", newest_first)
    op.create_index("visits_camera_at", "visits", ["camera_id", *newest_first])
    op.create_index("visits_user_at", "visits", ["user_id", *newest_first])
    op.create_index(
        "visits_unknown_at",
        "visits",
        ["unknown_id", *newest_first],
        postgresql_where=sa.text("unknown_id IS NOT NULL"),
    )
    op.create_index(
        "visits_open", "visits", ["camera_id"], postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "visits_ended",
        "visits",
        ["camera_id", "ended_at"],
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("visits_created", "visits", ["created_at"])
    op.create_index("visits_best_face", "visits", ["best_face_id"])
    op.create_index("visits_changed", "visits", ["changed_at"])
    op.execute(TOUCH)
    op.execute(TOUCH_TRIGGER)


def _create_visit_faces() -> None:
    op.create_table(
        "visit_faces",
        sa.Column("face_id", sa.Uuid, primary_key=True),
        sa.Column("visit_id", sa.Uuid, nullable=False),
        sa.Column("camera_id", sa.Text, nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("event_id", FRAME_NAME, nullable=False),
        sa.Column("late", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.ForeignKeyConstraint(
            ["face_id"], ["faces.id"], name="visit_faces_face_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["visit_id"], ["visits.visit_id"], name="visit_faces_visit_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("visit_faces_visit_at", "visit_faces", ["visit_id", "at"])
    op.create_index("visit_faces_camera_at", "visit_faces", ["camera_id", "at", "event_id"])
    op.create_index(
        "visit_faces_late", "visit_faces", ["visit_id"], postgresql_where=sa.text("late")
    )


def _create_visit_cameras() -> None:
    op.create_table(
        "visit_cameras",
        sa.Column("camera_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("clock", TIMESTAMP, nullable=False),
        sa.Column("checkpoint", sa.LargeBinary),
        sa.Column("checkpoint_at", TIMESTAMP),
        sa.Column("checkpoint_event", FRAME_NAME),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
    )


def _create_visit_messages() -> None:
    op.create_table(
        "visit_messages",
        sa.Column("visit_id", sa.Uuid, primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("camera_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("body", JSONB, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="visit_messages_user_id_fkey", ondelete="SET NULL"
        ),
    )
    op.create_index("visit_messages_camera", "visit_messages", ["camera_id", "id"])
