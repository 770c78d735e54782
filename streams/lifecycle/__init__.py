"""The life of a worker process: start, health, stall detection, shutdown."""
