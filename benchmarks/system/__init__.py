"""The pipeline and its sinks on servers in a temporary directory."""
