"""The unknowns agent: visits of unknown people in; who of them was here before, stored."""
