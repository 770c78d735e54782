"""How good visits are: found visits next to those of labelled scenes."""
