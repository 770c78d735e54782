"""Batches, outcomes, retries and ordered commits."""
