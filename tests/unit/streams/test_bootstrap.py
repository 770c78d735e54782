"""A consumer does not start before it knows a broker: aiokafka would never join its group."""

from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from config.settings import KafkaSettings, WorkerSettings
from streams.faust import bootstrap
from streams.faust.bootstrap import with_brokers
from streams.faust.faust_app import create_app
from tests.unit.streams.test_faust_app import consumer_of


class Client:
    """A client whose broker names itself after some requests for metadata."""

    hosts = "kafka:9092"

    def __init__(self, empty_answers):
        self.answers = [set()] * empty_answers + [{"broker"}]
        self.cluster = SimpleNamespace(brokers=lambda: self.answers[0])
        self.bootstraps = 0

    async def bootstrap(self):
        self.bootstraps += 1

    async def force_metadata_update(self):
        del self.answers[0]


@pytest.mark.parametrize("empty_answers", [0, 1, 3])
async def test_it_waits_until_a_broker_is_known(monkeypatch, empty_answers):
    monkeypatch.setattr(bootstrap, "_PAUSE", 0.001)
    client = Client(empty_answers)
    await with_brokers(client)()
    assert (client.bootstraps, client.answers) == (1, [{"broker"}])


async def test_a_cluster_that_names_no_broker_is_unavailable(monkeypatch):
    monkeypatch.setattr(bootstrap, "_PAUSE", 0.001)
    with pytest.raises(KafkaConnectionError, match=r"kafka:9092 named no broker for 0\.05 s"):
        await with_brokers(Client(10**6), 0.05)()


async def test_the_consumer_of_a_worker_waits_like_this():
    app = create_app("detect", KafkaSettings(), WorkerSettings())
    consumer = consumer_of(app)
    consumer._thread._shutdown = None
    kafka = consumer._thread._create_worker_consumer(app.transport)
    assert kafka._client.bootstrap.__qualname__.startswith("with_brokers")
