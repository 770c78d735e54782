"""Settings and logging: what every other room may import, and imports nothing of ours."""
