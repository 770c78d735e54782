"""Reads ``workers.models``: which embedder decides."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from domain.decisions.model_change import ModelsNow
from streams.clients.truncated_log import rewind_shortened
from streams.contract.model_codec import MODELS_PARTITION, decode_models
from streams.contract.topics import Topics
from streams.monitoring.consumer_lag import MissingTopicsError
from streams.monitoring.partition_reader import reading_partition

logger = logging.getLogger(__name__)

#: Number of existing messages that are read at the start.
_BACKLOG = 200

#: Longest time for reading them, in seconds; those that come later are read as new ones.
_CATCH_UP_SECONDS = 5.0

_ANSWER_SECONDS = 5.0
_POLL_MS = 500
_FETCH_MS = 200
_CHECK_SECONDS = 2.0
_PAUSE = 2.0

Apply = Callable[[ModelsNow], Awaitable[None]]


class ModelReader:
    """Reads which embedder decides."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Read with a started consumer; see `reading_models`."""
        self._consumer = consumer
        self._partition = partition

    async def catch_up(self) -> ModelsNow | None:
        """What the existing messages say last; None if there is none.

        Raises:
            KafkaError: the broker does not answer.
        """
        partition = self._partition
        begin = (await self._consumer.beginning_offsets([partition]))[partition]
        end = (await self._consumer.end_offsets([partition]))[partition]
        self._consumer.seek(partition, max(begin, end - _BACKLOG))
        last = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while await self._consumer.position(partition) < end:
                    last = _later(last, await self._poll())
        return last

    async def follow(self, apply: Apply, idle: Callable[[], Awaitable[None]]) -> None:
        """Apply what comes, until cancelled.

        Args:
            apply: is called with each message.
            idle: is called when none has come for a moment.

        Raises:
            KafkaError: the broker does not answer.
        """
        checked = monotonic()
        ends: dict[TopicPartition, int] = {}
        while True:
            last = _later(None, await self._poll())
            if last is not None:
                await apply(last)
            elif monotonic() - checked > _CHECK_SECONDS:
                await idle()
            if monotonic() - checked > _CHECK_SECONDS:
                ends = await rewind_shortened(self._consumer, ends)
                checked = monotonic()

    async def _poll(self) -> list[ModelsNow]:
        found = await self._consumer.getmany(timeout_ms=_POLL_MS)
        decoded = (decode_models(message.value) for message in found.get(self._partition, ()))
        return [one for one in decoded if one is not None]


@asynccontextmanager
async def reading_models(settings: KafkaSettings) -> AsyncIterator[ModelReader]:
    """Open a reader.

    Raises:
        MissingTopicsError: the topic does not exist.
        KafkaError: the broker does not answer.
    """
    partition = TopicPartition(Topics(settings.topic_prefix).models, MODELS_PARTITION)
    async with reading_partition(
        settings,
        partition,
        client_id="fecapass-models",
        answer_seconds=_ANSWER_SECONDS,
        fetch_ms=_FETCH_MS,
    ) as consumer:
        yield ModelReader(consumer, partition)


async def announced_models(settings: KafkaSettings) -> ModelsNow | None:
    """What was announced last; None if nothing was, or the broker cannot say."""
    try:
        async with reading_models(settings) as reader:
            return await reader.catch_up()
    except (KafkaError, MissingTopicsError, OSError) as error:
        logger.warning("it is not known which model decides: %s", error)
        return None


async def follow_models(
    settings: KafkaSettings, apply: Apply, idle: Callable[[], Awaitable[None]]
) -> None:
    """Apply what is announced until cancelled, also after an outage.

    Args:
        settings: address and credentials of the broker.
        apply: is called with what existing messages say last, and with each new one.
        idle: is called now and then while nothing comes.
    """
    following = True
    while True:
        try:
            async with reading_models(settings) as reader:
                last = await reader.catch_up()
                if last is not None:
                    await apply(last)
                following = True
                await reader.follow(apply, idle)
        except (KafkaError, MissingTopicsError, OSError) as error:
            if following:
                logger.warning("the models cannot be followed: %s", error)
            following = False
        await asyncio.sleep(_PAUSE)


def _later(one: ModelsNow | None, others: list[ModelsNow]) -> ModelsNow | None:
    every = [*([] if one is None else [one]), *others]
    return max(every, key=lambda models: models.as_of, default=None)
