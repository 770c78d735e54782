"""The agents' processes: each built from the settings, and run."""
