"""What is sent to a pipeline, and what it costs: frames, a backlog, CPU time."""
