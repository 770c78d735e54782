"""The track of a face, and the face whose crop stands for it; null for faces stored before."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAMES = ("track_id", "best_face_id")


def upgrade() -> None:
    # Nullable and without a default: no row is rewritten, and older workers continue without them.
    # No foreign key: retention deletes the rows of a track in any order.
    for name in _NAMES:
        op.add_column("faces", sa.Column(name, sa.Uuid))


def downgrade() -> None:
    for name in _NAMES:
        op.drop_column("faces", name)
