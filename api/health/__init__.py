"""Health checks, and what the API knows of workers and consumer lag."""
