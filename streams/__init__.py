"""The Faust app, topics, event envelope, acknowledgement, retry and dead letters."""
