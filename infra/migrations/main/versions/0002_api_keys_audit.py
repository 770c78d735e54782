"""API keys, the audit trail, and indexes for what the API asks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")
EMPTY = sa.text("'{}'::jsonb")

KEEP_FUNCTION = """
CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""

KEEP_ROWS = """
CREATE TRIGGER audit_keep_rows BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_keep()
"""

KEEP_TABLE = """
CREATE TRIGGER audit_keep_table BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_keep()
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("revoked_at", TIMESTAMP),
        sa.CheckConstraint("length(secret_hash) = 32", name="api_keys_hash_length"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column(
            "detail", postgresql.JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")
        ),
        sa.Column("request_id", sa.Text),
    )
    op.create_index("audit_target", "audit", ["target", "id"])
    op.execute(KEEP_FUNCTION)
    op.execute(KEEP_ROWS)
    op.execute(KEEP_TABLE)
    op.drop_index("events_key_captured_at", "events")
    op.create_index(
        "events_camera_time",
        "events",
        ["key", "captured_at"],
        postgresql_where=sa.text("kind = 'frame'"),
    )
    op.create_index(
        "events_uploads",
        "events",
        ["processed_at"],
        postgresql_where=sa.text("kind <> 'frame'"),
    )


def downgrade() -> None:
    op.drop_index("events_uploads", "events")
    op.drop_index("events_camera_time", "events")
    op.create_index("events_key_captured_at", "events", ["key", "captured_at"])
    op.drop_table("audit")
    op.execute("DROP FUNCTION audit_keep()")
    op.drop_table("api_keys")
