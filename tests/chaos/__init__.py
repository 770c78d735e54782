"""Injects faults into a running pipeline at random times, and counts the outcome of each event."""
