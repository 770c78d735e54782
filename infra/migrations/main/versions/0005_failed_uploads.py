"""An outcome for failed uploads: a dead letter that a replay may still process."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OUTCOMES = "'faces', 'no_face', 'enrolled', 'refused', 'searched'"


def upgrade() -> None:
    # Without looking at the rows there are, which a longer list cannot break. The lock is exclusive
    # all the same: this waits for claims that are open, and what comes later waits for this.
    op.drop_constraint("events_outcome", "events")
    op.execute(
        "ALTER TABLE events ADD CONSTRAINT events_outcome "
        f"CHECK (outcome IN ({_OUTCOMES}, 'failed')) NOT VALID"
    )


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE outcome = 'failed'")
    op.drop_constraint("events_outcome", "events")
    op.create_check_constraint("events_outcome", "events", f"outcome IN ({_OUTCOMES})")
