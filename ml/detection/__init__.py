"""Detectors: an image to boxes and landmarks."""
