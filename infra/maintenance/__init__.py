"""Maintenance of the stores: repairs what a crash left behind, and deletes old data."""
