"""Snapshots in the main database: which frames are kept as a whole, and until when."""
