"""Operators' tools: diagnosis, dead letters, health checks of containers."""
