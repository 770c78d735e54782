"""Use cases of unknowns: listed, named, joined, parted."""
