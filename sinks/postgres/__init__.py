"""What both Postgres sinks share: pool, connections, driver errors."""
