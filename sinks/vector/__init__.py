"""The vector database, pgvector: embeddings, templates, gallery."""
