from types import SimpleNamespace

from agents.processes.worker_parts import heartbeat_sender
from streams.monitoring.heartbeats import HEARTBEAT_PARTITION, Identity, decode_heartbeat


async def test_field_24_heartbeats_go_where_they_are_listened_to():
    """Also on a topic that the broker has made by itself, with partitions of its own number."""
    sent = []

    class Publisher:
        async def send_all(self, messages):
            sent.extend(messages)

    settings = SimpleNamespace(
        kafka=SimpleNamespace(topic_prefix="a."), workers=SimpleNamespace(heartbeat_interval=5.0)
    )
    await heartbeat_sender(Publisher(), settings, Identity("one", "detect")).leave()
    (message,) = sent
    assert (message.topic, message.partition) == ("a.workers.heartbeats", HEARTBEAT_PARTITION)
    assert decode_heartbeat(message.value).instance == "one"
