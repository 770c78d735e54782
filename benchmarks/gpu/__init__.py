"""What a GPU does with the models."""
