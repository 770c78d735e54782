"""The exact search over all templates, in memory."""
