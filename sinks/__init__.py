"""One file per store. Knows no model."""
