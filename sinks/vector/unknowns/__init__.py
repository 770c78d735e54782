"""The gallery of unknowns in the vector database."""
