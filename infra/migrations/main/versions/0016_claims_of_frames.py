"""A function that claims events whatever the model, and what is known of a model's matches.

A frame has one result: also if an event was embedded by a model, and comes again embedded by the
model that replaced it. The function of the release before stays, for its workers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# As in migration 0011, with one lock more for each event, which does not depend on the model.
# Workers of the release before take only the other one.
_FUNCTION = """
CREATE FUNCTION claim_events_of_any_model(
    uuids uuid[], models text[], named uuid[], claims_lock bigint, lock_timeout text
) RETURNS TABLE (found events, present uuid)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
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
        SELECT events, NULL::uuid FROM events
        JOIN unnest(uuids, models) AS asked (event_uuid, model)
          ON events.event_uuid = asked.event_uuid
         AND (events.model = asked.model OR events.kind = 'frame');
    RETURN QUERY
        SELECT NULL::events, users.id FROM users
        WHERE users.id = ANY(named) ORDER BY users.id FOR KEY SHARE;
END
$$
"""


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.add_column("models", sa.Column("threshold", sa.Double))
    op.add_column("models", sa.Column("margin", sa.Double))
    op.add_column("models", sa.Column("served_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    for column in ("served_at", "margin", "threshold"):
        op.drop_column("models", column)
    op.execute("DROP FUNCTION claim_events_of_any_model(uuid[], text[], uuid[], bigint, text)")
