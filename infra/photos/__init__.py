"""Photos on disk: which files are photos, whose they are, and how they are enrolled."""
