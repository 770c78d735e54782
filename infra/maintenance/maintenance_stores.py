"""What reconciler and retention work with."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

from aiokafka.errors import KafkaError

from config.settings import Settings
from domain.failures import Retry
from sinks.main.main_maintenance import MainMaintenance
from sinks.stores import Stores
from sinks.vector.vector_maintenance import VectorMaintenance
from streams.clients.client_factory import create_producer
from streams.clients.durable_producer import Publisher

#: Called with the progress of a job: what it checks, and how many it has checked so far.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class MaintenanceStores(Stores):
    """The four stores, with what maintenance needs."""

    records: MainMaintenance
    vectors: VectorMaintenance

    _records_type: ClassVar[type[MainMaintenance]] = MainMaintenance
    _vectors_type: ClassVar[type[VectorMaintenance]] = VectorMaintenance


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher, for as long as there is something to announce.

    Raises:
        Retry: the broker does not answer.
    """
    producer = create_producer(settings.kafka)
    try:
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            brokers = settings.kafka.bootstrap_servers
            raise Retry(f"the Kafka broker {brokers} does not answer") from error
        yield Publisher(producer)
    finally:
        await producer.stop()
