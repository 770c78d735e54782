"""Corrections while faults are injected, and whether each of them had its effects once."""
