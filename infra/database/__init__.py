"""`fecapass init-db`: databases, migrations and topics."""
