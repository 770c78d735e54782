"""A face says what it was found in: ``frame``, or ``enrolled`` for the photo of an enrolment.

Workers of the release before do not write the column. Its default is right for their frames, and
a trigger for their enrolled faces, which they store with a user and without a similarity.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The table is read as a whole before it is locked. Enrolled faces are few.
_READ = """
CREATE TEMPORARY TABLE enrolled_faces ON COMMIT DROP AS
SELECT id FROM faces WHERE user_id IS NOT NULL AND similarity IS NULL
"""

_FUNCTION = """
CREATE FUNCTION faces_are_enrolled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.kind = 'enrolled';
    RETURN NEW;
END
$$
"""

_TRIGGER = """
CREATE TRIGGER faces_are_enrolled BEFORE INSERT ON faces FOR EACH ROW
WHEN (NEW.kind = 'frame' AND NEW.user_id IS NOT NULL AND NEW.similarity IS NULL)
EXECUTE FUNCTION faces_are_enrolled()
"""

# The hour has the faces that were committed after the table was read.
_FILL = """
UPDATE faces SET kind = 'enrolled'
WHERE user_id IS NOT NULL AND similarity IS NULL
  AND (id IN (SELECT id FROM enrolled_faces) OR created_at > now() - interval '1 hour')
"""


def upgrade() -> None:
    op.execute(_READ)
    # A constant as the default: no row is rewritten.
    op.add_column(
        "faces", sa.Column("kind", sa.Text, nullable=False, server_default=sa.text("'frame'"))
    )
    op.execute(_FUNCTION)
    op.execute(_TRIGGER)
    op.execute(_FILL)


def downgrade() -> None:
    op.execute("DROP TRIGGER faces_are_enrolled ON faces")
    op.execute("DROP FUNCTION faces_are_enrolled()")
    op.drop_column("faces", "kind")
