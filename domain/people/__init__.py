"""Corrections and other changes of who is who, as types."""
