"""Unknowns and their visits in the main database."""
