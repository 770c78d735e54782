"""The object store, S3: crops and claim checks."""
