"""What `make lint` checks in addition to style and types."""
