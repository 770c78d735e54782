"""Templates: the embeddings of enrolled photos, and whose they are."""
