"""What reconciler and retention work with, opened and closed together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from config.settings import Settings
from domain.failures import Retry
from services.erasure import ErasureStores
from sinks.cache.recent_matches import Recents
from sinks.main.main_maintenance import MainUpkeep
from sinks.objects.crops import Crops
from sinks.vector.vector_maintenance import VectorUpkeep
from streams.clients.client_factory import create_producer
from streams.clients.durable_producer import Publisher

#: Called with the progress of a job: what it checks, and how many it has checked so far.
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class UpkeepStores:
    """The four stores, with what maintenance needs."""

    main: MainUpkeep
    vectors: VectorUpkeep
    crops: Crops
    recents: Recents


@asynccontextmanager
async def open_upkeep(settings: Settings) -> AsyncIterator[UpkeepStores]:
    """Connect to all four.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with AsyncExitStack() as stack:
        yield UpkeepStores(
            main=await stack.enter_async_context(MainUpkeep(settings.main_db)),
            vectors=await stack.enter_async_context(VectorUpkeep(settings.vector_db)),
            crops=await stack.enter_async_context(Crops(settings.s3)),
            recents=await stack.enter_async_context(Recents(settings.redis)),
        )


@asynccontextmanager
async def open_erasure_stores(settings: Settings) -> AsyncIterator[ErasureStores]:
    """Connect to all four, to erase a user.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with open_upkeep(settings) as stores:
        yield ErasureStores(
            records=stores.main,
            vectors=stores.vectors,
            crops=stores.crops,
            recents=stores.recents,
        )


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
