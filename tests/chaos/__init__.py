"""Faults at random times against a running pipeline, and the count of what came of each event."""
