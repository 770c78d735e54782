"""The live stream of matches."""
