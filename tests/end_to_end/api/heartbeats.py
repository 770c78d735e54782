"""Heartbeats of workers that there are not."""

from contextlib import asynccontextmanager

from config.settings import Settings
from domain.events import utc_now
from streams.clients.client_factory import create_producer
from streams.contract.topics import ROLES, Topics
from streams.monitoring.heartbeats import Heartbeat, encode_heartbeat


@asynccontextmanager
async def heartbeats(settings: Settings):
    """Sends heartbeats as workers do."""
    producer = create_producer(settings.kafka)
    await producer.start()
    topics = Topics(settings.kafka.topic_prefix)

    async def send(role: str, instance: str = "", **fields: object) -> None:
        of_role = topics.read_by(role) if role in ROLES else ()
        heartbeat = Heartbeat(
            **{
                "instance": instance or f"{role}-1",
                "role": role,
                "sent_at": utc_now(),
                "started_at": utc_now(),
                "interval": 1.0,
                "partitions": {topic: tuple(range(8)) for topic in of_role},
            }
            | fields
        )
        await producer.send_and_wait(
            topics.heartbeats, encode_heartbeat(heartbeat), key=heartbeat.instance.encode()
        )

    try:
        yield send
    finally:
        await producer.stop()
