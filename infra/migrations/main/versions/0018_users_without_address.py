"""Users without an e-mail address, with an id and keys of the application.

No row is rewritten; the index of external ids is made afterwards (`ensure_indexes`). Workers and
APIs of the release before continue: they write an address, and leave the new columns alone. Their
API cannot list a user without an address, so make such users once it is replaced
(docs/operations.md).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_NO_ADDRESS = "UPDATE users SET email = id || '@without-address.invalid' WHERE email IS NULL"


def upgrade() -> None:
    op.alter_column("users", "email", nullable=True)
    op.add_column("users", sa.Column("external_id", sa.Text))
    op.add_column(
        "users",
        sa.Column("metadata", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
    )
    op.create_check_constraint(
        "users_external_id_length", "users", "length(external_id) BETWEEN 1 AND 200"
    )
    op.create_check_constraint(
        "users_metadata_object", "users", "jsonb_typeof(metadata) = 'object'"
    )


def downgrade() -> None:
    op.drop_column("users", "metadata")
    op.drop_column("users", "external_id")
    op.execute(_NO_ADDRESS)
    op.alter_column("users", "email", nullable=False)
