"""Looking after the stores: what a crash left behind is repaired, what is old is deleted."""
