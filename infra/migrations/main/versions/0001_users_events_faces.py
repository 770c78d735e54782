"""Users, the ledger of events, and faces."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")

TOUCH_FUNCTION = """
CREATE FUNCTION users_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW IS DISTINCT FROM OLD THEN
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END
$$
"""

TOUCH_TRIGGER = """
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_touch()
"""


def upgrade() -> None:
    _create_users()
    _create_events()
    _create_faces()


def downgrade() -> None:
    op.drop_table("faces")
    op.drop_table("events")
    op.drop_table("users")
    op.execute("DROP FUNCTION users_touch()")


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("full_name", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("length(email) BETWEEN 3 AND 320", name="users_email_length"),
    )
    op.create_index("users_email_key", "users", [sa.text("lower(email)")], unique=True)
    op.execute(TOUCH_FUNCTION)
    op.execute(TOUCH_TRIGGER)


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("event_uuid", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("captured_at", TIMESTAMP, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("face_count", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("answer", postgresql.JSONB),
        sa.Column("announced_at", TIMESTAMP),
        sa.Column("processed_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("kind IN ('frame', 'enrol', 'search')", name="events_kind"),
        sa.CheckConstraint(
            "outcome IN ('faces', 'no_face', 'enrolled', 'refused', 'searched')",
            name="events_outcome",
        ),
    )
    op.create_index("events_processed_at", "events", ["processed_at"])
    op.create_index("events_key_captured_at", "events", ["key", "captured_at"])
    op.create_index(
        "events_unannounced",
        "events",
        ["processed_at"],
        postgresql_where=sa.text("announced_at IS NULL"),
    )


def _create_faces() -> None:
    op.create_table(
        "faces",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("event_uuid", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("camera_id", sa.Text, nullable=False),
        sa.Column("captured_at", TIMESTAMP, nullable=False),
        sa.Column("box", postgresql.ARRAY(sa.Double), nullable=False),
        sa.Column("landmarks", postgresql.ARRAY(sa.Double), nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("quality", sa.Double, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("crop_key", sa.Text),
        sa.Column("user_id", sa.Uuid),
        sa.Column("similarity", sa.Double),
        sa.Column("runner_up_similarity", sa.Double),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="faces_user_id_fkey", ondelete="SET NULL"
        ),
        sa.CheckConstraint("cardinality(box) = 4", name="faces_box_shape"),
        sa.CheckConstraint("cardinality(landmarks) = 10", name="faces_landmarks_shape"),
    )
    newest_first = [sa.text("captured_at DESC"), sa.text("id DESC")]
    op.create_index("faces_event", "faces", ["event_uuid", "model", "index"], unique=True)
    op.create_index("faces_time", "faces", newest_first)
    op.create_index("faces_camera_time", "faces", ["camera_id", *newest_first])
    op.create_index("faces_user_time", "faces", ["user_id", *newest_first])
