"""What a user has besides name and address, and what may be wrong with requests for faces."""
