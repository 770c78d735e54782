"""Fixtures of the sinks' contract tests."""

import pytest

from config.settings import Settings


@pytest.fixture
def nowhere(prepared: Settings) -> Settings:
    """The same settings, but with ports at which nothing listens."""
    dead = {"port": 1, "connect_timeout": 1.0}
    return prepared.model_copy(
        update={
            "main_db": prepared.main_db.model_copy(update=dead),
            "vector_db": prepared.vector_db.model_copy(update=dead),
            "redis": prepared.redis.model_copy(update={"port": 1, "timeout": 0.5}),
            "s3": prepared.s3.model_copy(
                update={"endpoint_url": "http://127.0.0.1:1", "connect_timeout": 1.0}
            ),
            "kafka": prepared.kafka.model_copy(
                update={"bootstrap_servers": "127.0.0.1:1", "request_timeout": 1.0}
            ),
        }
    )
