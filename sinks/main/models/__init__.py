"""The table of embedders, and the faces that are embedded again."""
