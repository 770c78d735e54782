"""Heartbeats and consumer lag: whether the pipeline works."""
