"""Search of enrolled people, compared with other ways to search."""
