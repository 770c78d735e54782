"""What the processes of all agents have: a producer, heartbeats, an end in limited time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from time import monotonic

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.galleries import Galleries
from agents.model_watch import Announce, ModelWatch
from agents.vetoes import VetoWatch
from config.settings import (
    DatabaseSettings,
    DetectSettings,
    KafkaSettings,
    Settings,
    WorkerSettings,
)
from domain.decisions.model_change import ModelsNow
from domain.failures import Fatal
from sinks.main.models.model_store import ModelStore
from sinks.main.people.veto_store import VetoStore
from sinks.vector.vector_store import Vectors
from streams.clients.client_factory import create_producer
from streams.clients.durable_producer import Outgoing, Publisher
from streams.clients.tls_and_sasl import connection_problem
from streams.contract.model_codec import MODELS_PARTITION, encode_models
from streams.contract.topics import Topics
from streams.faust.connections import SILENCE_SECONDS
from streams.lifecycle.shutdown_deadline import ShutdownDeadline
from streams.monitoring.heartbeats import (
    HEARTBEAT_PARTITION,
    GalleryState,
    HeartbeatSender,
    Identity,
)

logger = logging.getLogger(__name__)

#: Number of attempts to connect to a broker that does not answer when a worker starts.
_START_ATTEMPTS = 3

#: Time limit of a batch's SQL statements, in seconds. A statement takes longer only if its
#: connection is dead or its server hangs; then the batch is retried.
_STATEMENT_SECONDS = 8.0

#: Time limit for stopping the producer, in seconds.
_PRODUCER_SECONDS = 2.0

#: Additional time limit for leaving the group and closing the connections, after the drain.
_END_SECONDS = 15.0


def shutdown_deadline(settings: WorkerSettings) -> ShutdownDeadline:
    """Ends the process if its shutdown takes too long."""
    return ShutdownDeadline(settings.stop_timeout + _END_SECONDS)


def with_short_statements(database: DatabaseSettings) -> DatabaseSettings:
    """The settings with the time limit for statements of batches, which are all short."""
    seconds = min(database.command_timeout, _STATEMENT_SECONDS)
    return database.model_copy(update={"command_timeout": seconds})


async def loaded_galleries(vectors: Vectors, settings: WorkerSettings) -> Galleries:
    """This worker's copies of the galleries, as they are now.

    Raises:
        StoreUnavailable: the vector database is unavailable.
    """
    galleries = Galleries(vectors, poll=settings.gallery_poll, max_age=settings.gallery_max_age)
    await galleries.load()
    return galleries


def announced_models(publisher: Publisher, topics: Topics) -> Announce:
    """Announces to the detect workers which embedder decides."""

    async def announce(now: ModelsNow) -> None:
        await publisher.send_all(
            [Outgoing(topics.models, b"models", encode_models(now), (), MODELS_PARTITION)]
        )

    return announce


async def watched_models(
    settings: Settings,
    galleries: Galleries,
    stack: AsyncExitStack,
    announce: Announce | None = None,
) -> ModelWatch:
    """What this worker knows of the embedders, as the table is now.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    models = await stack.enter_async_context(ModelStore(with_short_statements(settings.main_db)))
    watch = ModelWatch(
        models,
        galleries,
        settings.models,
        poll=settings.workers.gallery_poll,
        announce=announce,
    )
    await watch.load()
    return watch


async def watched_vetoes(settings: Settings, vectors: Vectors, stack: AsyncExitStack) -> VetoWatch:
    """What people have said not to be a user, as it is now.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    store = await stack.enter_async_context(VetoStore(with_short_statements(settings.main_db)))
    workers = settings.workers
    watch = VetoWatch(store, vectors, poll=workers.gallery_poll, max_age=workers.gallery_max_age)
    await watch.load()
    return watch


def heartbeat_sender(
    publisher: Publisher,
    settings: DetectSettings,
    identity: Identity,
    galleries: Callable[[], Sequence[GalleryState]] = tuple,
) -> HeartbeatSender:
    """The sender of a worker's heartbeats."""
    topic = Topics(settings.kafka.topic_prefix).heartbeats

    async def send(key: bytes, value: bytes) -> None:
        # A broker that creates topics itself may give this one more partitions than are read.
        await publisher.send_all([Outgoing(topic, key, value, (), HEARTBEAT_PARTITION)])

    return HeartbeatSender(identity, send, settings.workers.heartbeat_interval, galleries)


async def started_producer(settings: KafkaSettings, stack: AsyncExitStack) -> AIOKafkaProducer:
    """A started producer that the stack will stop.

    Raises:
        Fatal: the broker does not answer.
    """
    attempts = 0
    while True:
        attempts += 1
        producer, began = create_producer(settings), monotonic()
        stack.push_async_callback(_stop, producer)
        try:
            await producer.start()
        except KafkaError as error:
            # A refusal comes at once; a broker that does not answer may be restarting.
            if attempts < _START_ATTEMPTS and monotonic() - began >= SILENCE_SECONDS:
                continue
            reason = await connection_problem(settings)
            raise Fatal(f"no Kafka broker at {settings.bootstrap_servers}: {reason}") from error
        return producer


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close its connections; messages that it has not sent are sent again by another worker."""
    try:
        async with asyncio.timeout(_PRODUCER_SECONDS):
            await producer.stop()
    except TimeoutError:
        logger.warning("the producer was not stopped in time: the broker does not answer")
