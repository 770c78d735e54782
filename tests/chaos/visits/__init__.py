"""What a run leaves of visits, and whether it is what the pure functions say."""
