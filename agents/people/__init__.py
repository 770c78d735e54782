"""Announces what has changed about people: corrections, merges, promotions."""
