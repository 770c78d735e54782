"""Reads ``workers.heartbeats``: first the existing messages, then new ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic, time

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import KafkaSettings
from streams.clients.fetch_wait import FetchWait
from streams.clients.truncated_log import rewind_shortened
from streams.contract.topics import Topics
from streams.monitoring.consumer_lag import LagReader
from streams.monitoring.heartbeats import HEARTBEAT_PARTITION, WorkerRegistry, decode_heartbeat
from streams.monitoring.partition_reader import reading_partition
from streams.monitoring.pipeline_health import PipelineState, judge

#: Number of existing heartbeats that are read at the start: a minute of some 80 workers.
_BACKLOG = 1000

#: Longest time for reading them, in seconds; those that come later are read as new ones.
_CATCH_UP_SECONDS = 5.0

_POLL_MS = 500
_CHECK_SECONDS = 2.0


class HeartbeatReader:
    """Reads the heartbeats of all workers into a registry."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Read with a started consumer; see `listening`."""
        self._consumer = consumer
        self._partition = partition
        self._existing = 0

    async def catch_up(self, registry: WorkerRegistry) -> None:
        """Read the existing heartbeats; their age is taken from their time in Kafka.

        Raises:
            KafkaError: the broker does not answer.
        """
        partition = self._partition
        begin = (await self._consumer.beginning_offsets([partition]))[partition]
        end = (await self._consumer.end_offsets([partition]))[partition]
        self._consumer.seek(partition, max(begin, end - _BACKLOG))
        self._existing = end
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while await self._consumer.position(partition) < end:
                    await self._poll(registry)

    async def follow(self, registry: WorkerRegistry) -> None:
        """Read new heartbeats, until cancelled.

        Raises:
            KafkaError: the broker does not answer.
        """
        checked = monotonic()
        ends: dict[TopicPartition, int] = {}
        while True:
            await self._poll(registry)
            if monotonic() - checked > _CHECK_SECONDS:
                ends = await rewind_shortened(self._consumer, ends)
                checked = monotonic()

    async def _poll(self, registry: WorkerRegistry) -> None:
        """Read what there is; a new heartbeat counts from now, whatever the broker's clock says."""
        found = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for message in found.get(self._partition, ()):
            heartbeat = decode_heartbeat(message.value)
            if heartbeat is not None:
                is_new = message.offset >= self._existing
                age = 0.0 if is_new else max(0.0, time() - message.timestamp / 1000)
                registry.note(heartbeat, monotonic() - age)


@asynccontextmanager
async def listening(settings: KafkaSettings, timeout: float) -> AsyncIterator[HeartbeatReader]:  # noqa: ASYNC109 - of each request
    """Open a reader of the heartbeats.

    Args:
        settings: address and credentials of the broker.
        timeout: seconds to wait for each of its answers.

    Raises:
        MissingTopicsError: the topic does not exist.
        KafkaError: the broker does not answer.
    """
    partition = TopicPartition(Topics(settings.topic_prefix).heartbeats, HEARTBEAT_PARTITION)
    async with reading_partition(
        settings,
        partition,
        client_id="fecapass-health",
        answer_seconds=timeout,
        fetch_ms=FetchWait(settings.fetch_max_wait).milliseconds(monotonic()),
    ) as consumer:
        yield HeartbeatReader(consumer, partition)


async def look_at_pipeline(
    settings: KafkaSettings, answer_seconds: float, max_lag: float
) -> PipelineState:
    """The state of the pipeline, for a program that checks it once.

    Args:
        settings: address and credentials of the broker.
        answer_seconds: seconds to wait for each of its answers.
        max_lag: seconds that a group may be behind.

    Raises:
        MissingTopicsError: a topic does not exist.
        KafkaError: the broker does not answer.
    """
    registry = WorkerRegistry()
    async with (
        listening(settings, answer_seconds) as heartbeats,
        LagReader(settings, timeout=answer_seconds) as reader,
    ):
        await heartbeats.catch_up(registry)
        lags = await reader.look()
    return judge(registry, lags, now=monotonic(), since=None, max_lag=max_lag)
