"""Has anything grown slower? Ratios measured now against the committed ones."""
