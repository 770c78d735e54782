"""Heartbeats and consumer lag: whether the pipeline is at work."""
