"""Mistakes in who is who: found, and put right."""
