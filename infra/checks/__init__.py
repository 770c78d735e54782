"""What `make lint` looks at beside style and types."""
