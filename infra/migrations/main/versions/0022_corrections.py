"""What people have said about faces, visits and users: append-only, with what an undo needs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)

# An erasure may delete a correction; nothing changes one.
KEEP_FUNCTION = """
CREATE FUNCTION corrections_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'corrections are append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""

KEEP_ROWS = """
CREATE TRIGGER corrections_keep BEFORE UPDATE ON corrections
FOR EACH ROW EXECUTE FUNCTION corrections_keep()
"""

# As in migration 0016; with the users that named ones were merged into. A merge changes the rows of
# both: once they are held, who is left stays who is left. The function of the release before stays,
# for its workers.
CLAIM_FUNCTION = """
CREATE FUNCTION claim_events_and_users(
    uuids uuid[], models text[], named uuid[], claims_lock bigint, lock_timeout text
) RETURNS TABLE (found events, present uuid, merged uuid)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    family uuid[];
BEGIN
    PERFORM set_config('lock_timeout', lock_timeout, true),
            pg_advisory_xact_lock_shared(claims_lock);
    PERFORM pg_advisory_xact_lock(lock) FROM (
        SELECT hashtextextended(event_uuid::text || model, 0) AS lock
        FROM unnest(uuids, models) AS asked (event_uuid, model)
        UNION
        SELECT hashtextextended(event_uuid::text, 0) FROM unnest(uuids) AS asked (event_uuid)
        ORDER BY lock
    ) AS ordered;
    RETURN QUERY
        SELECT events, NULL::uuid, NULL::uuid FROM events
        JOIN unnest(uuids, models) AS asked (event_uuid, model)
          ON events.event_uuid = asked.event_uuid
         AND (events.model = asked.model OR events.kind = 'frame');
    LOOP
        WITH RECURSIVE left_of AS (
            SELECT users.id, users.merged_into FROM users WHERE users.id = ANY(named)
            UNION
            SELECT users.id, users.merged_into FROM left_of
            JOIN users ON users.id = left_of.merged_into
        )
        SELECT array_agg(left_of.id) INTO family FROM left_of;
        PERFORM FROM users WHERE users.id = ANY(family) ORDER BY users.id FOR KEY SHARE;
        EXIT WHEN NOT EXISTS (
            SELECT FROM users WHERE users.id = ANY(family) AND users.merged_into <> ALL(family));
    END LOOP;
    RETURN QUERY
        SELECT NULL::events, users.id, users.merged_into FROM users WHERE users.id = ANY(family);
END
$$
"""


def upgrade() -> None:
    op.execute(CLAIM_FUNCTION)
    # No default, so no row is written again.
    op.add_column("faces", sa.Column("correction_id", sa.Uuid))
    op.add_column("visits", sa.Column("correction_id", sa.Uuid))
    op.add_column("users", sa.Column("merged_into", sa.Uuid))
    op.create_table(
        "corrections",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("made_at", TIMESTAMP, nullable=False, server_default=sa.text("now()")),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("other_user_id", sa.Uuid),
        sa.Column("face_id", sa.Uuid),
        sa.Column("visit_id", sa.Uuid),
        sa.Column("unknown_id", sa.Uuid),
        sa.Column("undoes", sa.Uuid, unique=True),
        sa.Column("detail", postgresql.JSONB, nullable=False),
        _of_a_user("corrections", "user_id", "CASCADE"),
        _of_a_user("corrections", "other_user_id", "CASCADE"),
        _of_a_correction("corrections", "undoes"),
        sa.CheckConstraint(
            "user_id IS NOT NULL OR unknown_id IS NOT NULL", name="corrections_subject"
        ),
    )
    op.create_index(
        "corrections_time", "corrections", [sa.text("made_at DESC"), sa.text("id DESC")]
    )
    op.create_index("corrections_user", "corrections", ["user_id"])
    op.create_index("corrections_other_user", "corrections", ["other_user_id"])
    op.create_index(
        "corrections_unknown",
        "corrections",
        ["unknown_id"],
        postgresql_where=sa.text("unknown_id IS NOT NULL"),
    )
    op.execute(KEEP_FUNCTION)
    op.execute(KEEP_ROWS)
    _create_labels()
    op.create_table(
        "vetoes",
        sa.Column("correction_id", sa.Uuid, primary_key=True),
        sa.Column("face_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("withdrawn_by", sa.Uuid),
        _of_a_correction("vetoes", "correction_id"),
        _of_a_face("vetoes"),
        _of_a_user("vetoes", "user_id", "CASCADE"),
        sa.ForeignKeyConstraint(
            ["withdrawn_by"],
            ["corrections.id"],
            name="vetoes_withdrawn_by_fkey",
            ondelete="SET NULL",
        ),
    )
    op.create_index("vetoes_face", "vetoes", ["face_id"])
    op.create_index("vetoes_user", "vetoes", ["user_id"])
    op.create_table(
        "promoted_photos",
        sa.Column("correction_id", sa.Uuid, primary_key=True),
        sa.Column("event_uuid", sa.Uuid, primary_key=True),
        _of_a_correction("promoted_photos", "correction_id"),
    )
    op.create_index("promoted_photos_event", "promoted_photos", ["event_uuid"])
    op.create_table(
        "correction_work",
        sa.Column("correction_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _of_a_correction("correction_work", "correction_id"),
    )


def downgrade() -> None:
    for name in (
        "correction_work",
        "promoted_photos",
        "vetoes",
        "corrected_visits",
        "corrected_faces",
        "corrections",
    ):
        op.drop_table(name)
    op.execute("DROP FUNCTION corrections_keep()")
    op.execute("DROP FUNCTION claim_events_and_users(uuid[], text[], uuid[], bigint, text)")
    op.drop_column("users", "merged_into")
    op.drop_column("visits", "correction_id")
    op.drop_column("faces", "correction_id")


def _create_labels() -> None:
    op.create_table(
        "corrected_faces",
        sa.Column("correction_id", sa.Uuid, primary_key=True),
        sa.Column("face_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid),
        sa.Column("similarity", sa.Double),
        sa.Column("runner_up_similarity", sa.Double),
        sa.Column("decision", sa.Text),
        sa.Column("before", sa.Uuid),
        _of_a_correction("corrected_faces", "correction_id"),
        _of_a_face("corrected_faces"),
        _of_a_user("corrected_faces", "user_id", "SET NULL"),
    )
    op.create_index("corrected_faces_face", "corrected_faces", ["face_id"])
    op.create_index("corrected_faces_user", "corrected_faces", ["user_id"])
    op.create_table(
        "corrected_visits",
        sa.Column("correction_id", sa.Uuid, primary_key=True),
        sa.Column("visit_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid),
        sa.Column("similarity", sa.Double),
        sa.Column("before", sa.Uuid),
        _of_a_correction("corrected_visits", "correction_id"),
        sa.ForeignKeyConstraint(
            ["visit_id"],
            ["visits.visit_id"],
            name="corrected_visits_visit_id_fkey",
            ondelete="CASCADE",
        ),
        _of_a_user("corrected_visits", "user_id", "SET NULL"),
    )
    op.create_index("corrected_visits_visit", "corrected_visits", ["visit_id"])
    op.create_index("corrected_visits_user", "corrected_visits", ["user_id"])


def _of_a_correction(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], ["corrections.id"], name=f"{table}_{column}_fkey", ondelete="CASCADE"
    )


def _of_a_face(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["face_id"], ["faces.id"], name=f"{table}_face_id_fkey", ondelete="CASCADE"
    )


def _of_a_user(table: str, column: str, ondelete: str) -> sa.ForeignKeyConstraint:
    name = f"{table}_{column}_fkey"
    return sa.ForeignKeyConstraint([column], ["users.id"], name=name, ondelete=ondelete)
