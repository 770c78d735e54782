"""Changes of people that are still to be announced, and their table."""
