"""docker-compose.yml started for real."""
