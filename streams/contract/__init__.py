"""The event contract: topics, headers, values, and what is refused."""
