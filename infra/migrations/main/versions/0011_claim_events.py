"""A function that claims events in one round trip: locks, what is known of them, and users.

A later release that needs another one adds it under another name: workers of both releases run
during an upgrade.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# A volatile function takes a new snapshot for each of its statements, so the look sees what was
# committed while the locks were waited for; one statement with both would not.
# Its plans are kept for a connection's life: one that was made while the table was small would read
# the whole table ever after, so it may only use indexes.
# The locks are taken in one order by all workers, so that they cannot deadlock. Those on users
# hold off their erasure, as `sinks.main.user_erasure` takes its own.
_FUNCTION = """
CREATE FUNCTION claim_events(
    uuids uuid[], models text[], named uuid[], claims_lock bigint, lock_timeout text
) RETURNS TABLE (found events, present uuid)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    PERFORM set_config('lock_timeout', lock_timeout, true),
            pg_advisory_xact_lock_shared(claims_lock);
    PERFORM pg_advisory_xact_lock(lock) FROM (
        SELECT DISTINCT hashtextextended(event_uuid::text || model, 0) AS lock
        FROM unnest(uuids, models) AS asked (event_uuid, model)
        ORDER BY lock
    ) AS ordered;
    RETURN QUERY
        SELECT events, NULL::uuid FROM events
        JOIN unnest(uuids, models) AS asked (event_uuid, model) USING (event_uuid, model);
    RETURN QUERY
        SELECT NULL::events, users.id FROM users
        WHERE users.id = ANY(named) ORDER BY users.id FOR KEY SHARE;
END
$$
"""


def upgrade() -> None:
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute("DROP FUNCTION claim_events(uuid[], text[], uuid[], bigint, text)")
