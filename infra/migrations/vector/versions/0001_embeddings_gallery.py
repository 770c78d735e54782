"""Embeddings, partitioned by model, and the gallery.

The extension is there already: `migrate` sees to it, because an installed one may need an
update first.
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "gallery_heads",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.CheckConstraint("dimension BETWEEN 1 AND 4000", name="gallery_heads_dimension"),
    )
    _create_embeddings()
    _create_gallery()


def downgrade() -> None:
    op.drop_table("gallery")
    op.drop_table("face_embeddings")
    op.drop_table("gallery_heads")


def _create_embeddings() -> None:
    op.create_table(
        "face_embeddings",
        sa.Column("face_id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("embedding", VECTOR(), nullable=False),
        sa.Column("captured_at", TIMESTAMP, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.CheckConstraint("kind IN ('template', 'sighting')", name="face_embeddings_kind"),
        sa.CheckConstraint(
            "kind = 'sighting' OR user_id IS NOT NULL", name="face_embeddings_template_has_user"
        ),
        postgresql_partition_by="LIST (model)",
    )
    op.create_index("face_embeddings_user", "face_embeddings", ["user_id", "model"])
    op.create_index("face_embeddings_captured_at", "face_embeddings", ["captured_at"])


def _create_gallery() -> None:
    op.create_table(
        "gallery",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("embedding", VECTOR()),
        sa.Column("photos", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("erased_at", TIMESTAMP),
        sa.Column("updated_at", TIMESTAMP, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(["model"], ["gallery_heads.model"], name="gallery_model_fkey"),
        sa.CheckConstraint(
            "erased_at IS NULL OR embedding IS NULL", name="gallery_tombstone_is_empty"
        ),
        sa.CheckConstraint("(photos = 0) = (embedding IS NULL)", name="gallery_photos"),
    )
    op.create_index("gallery_revision", "gallery", ["model", "revision"], unique=True)
