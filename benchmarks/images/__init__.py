"""What is done with frames before a model sees them."""
