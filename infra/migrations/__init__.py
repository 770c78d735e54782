"""The schema's history: one Alembic environment for each database, run from `migrate`."""
