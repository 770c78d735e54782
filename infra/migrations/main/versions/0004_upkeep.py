"""For retention and the reconciler: the age of faces, and embeddings that are lost."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("faces_created", "faces", ["created_at"])
    op.create_table(
        "lost_embeddings",
        sa.Column("face_id", sa.Uuid, primary_key=True),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.ForeignKeyConstraint(
            ["face_id"], ["faces.id"], name="lost_embeddings_face_id_fkey", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("lost_embeddings")
    op.drop_index("faces_created", "faces")
