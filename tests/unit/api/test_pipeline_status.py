"""What the API says of a pipeline whose topics are missing."""

from contextlib import asynccontextmanager

import pytest

from api.health import pipeline_status
from api.health.pipeline_status import PipelineWatch
from config.settings import ApiSettings, KafkaSettings
from streams.monitoring.consumer_lag import MissingTopicsError


@pytest.fixture
def without_topics(monkeypatch):
    @asynccontextmanager
    async def missing(*_args, **_named):
        raise MissingTopicsError("secret-prefix.workers.heartbeats")
        yield

    monkeypatch.setattr(pipeline_status, "listening", missing)
    monkeypatch.setattr(pipeline_status, "LagReader", missing)


async def test_field_24_missing_topics_are_reported_without_their_names(without_topics):
    watch = PipelineWatch(KafkaSettings(topic_prefix="secret-prefix."), ApiSettings())
    watch.start()
    state = await watch.state()
    await watch.close()
    assert not state.known
    assert state.problems == ("topics are missing; run fecapass init-db",)
