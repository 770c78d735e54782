"""Opens a topic of one partition that workers report on, to read from where the reader wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import KafkaSettings
from streams.clients.client_factory import create_admin, create_consumer
from streams.monitoring.consumer_lag import MissingTopicsError


@asynccontextmanager
async def reading_partition(
    settings: KafkaSettings,
    partition: TopicPartition,
    *,
    client_id: str,
    answer_seconds: float,
    fetch_ms: int,
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer without a group, with this partition assigned.

    Args:
        settings: address and credentials of the broker.
        partition: what it reads.
        client_id: of its requests.
        answer_seconds: longest time to wait for each answer.
        fetch_ms: longest time that the broker keeps a fetch without messages, in milliseconds.

    Raises:
        MissingTopicsError: the topic does not exist.
        KafkaError: the broker does not answer.
    """
    bound = int(answer_seconds * 1000)
    admin = create_admin(settings, client_id=client_id, request_timeout_ms=bound)
    try:
        await admin.start()
        # A broker may create a topic, with its own partition count, at a consumer's request.
        if partition.topic not in await admin.list_topics():
            raise MissingTopicsError(partition.topic)
    finally:
        await admin.close()
    consumer = create_consumer(
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="latest",
        client_id=client_id,
        request_timeout_ms=bound,
        fetch_max_wait_ms=fetch_ms,
    )
    try:
        await consumer.start()
        consumer.assign([partition])
        yield consumer
    finally:
        await asyncio.shield(consumer.stop())
