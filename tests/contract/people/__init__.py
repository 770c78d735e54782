"""Contract tests of corrections, unknowns and what is announced of people."""
