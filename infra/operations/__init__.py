"""What an operator runs: diagnosis, dead letters, health checks of containers."""
