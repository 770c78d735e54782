"""The main database, in PostgreSQL: users, ledger, faces."""
