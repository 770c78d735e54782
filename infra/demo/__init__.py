"""The demonstration: the whole pipeline on one machine, with something to look at in the end."""
