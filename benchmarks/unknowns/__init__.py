"""How well unknown people are recognised when they come back."""
