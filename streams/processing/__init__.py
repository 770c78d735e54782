"""From messages to batches, outcomes, retries and ordered commits."""
