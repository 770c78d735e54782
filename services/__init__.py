"""Use cases that the API and the command line share. They raise domain errors."""
