"""What the API says of a pipeline whose topics are missing."""

from contextlib import asynccontextmanager

import pytest

from api import pipeline
from api.pipeline import PipelineWatch
from config.settings import ApiSettings, KafkaSettings
from streams.lag import MissingTopicsError


@pytest.fixture
def without_topics(monkeypatch):
    @asynccontextmanager
    async def missing(*_args, **_named):
        raise MissingTopicsError("secret-prefix.workers.heartbeats")
        yield

    monkeypatch.setattr(pipeline, "listening", missing)
    monkeypatch.setattr(pipeline, "LagReader", missing)


async def test_field_24_missing_topics_are_told_without_their_names(without_topics):
    watch = PipelineWatch(KafkaSettings(topic_prefix="secret-prefix."), ApiSettings())
    watch.start()
    state = await watch.state()
    await watch.close()
    assert not state.known
    assert state.problems == ("topics are missing; run fecapass init-db",)
