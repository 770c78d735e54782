"""Cameras for the pipeline: pictures from files and streams onto ``camera.frames``."""
