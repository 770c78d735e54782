"""The lag of consumer groups, as the broker reports it, with or without a worker."""

import asyncio
import secrets
from time import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from infra.database.create_topics import ensure_topics
from streams.clients.client_factory import create_consumer, create_producer
from streams.contract.topics import GROUPS, Topics
from streams.monitoring.consumer_lag import LagReader, MissingTopicsError


@pytest.fixture
async def kafka(settings):
    """Topics that no worker has used."""
    own = settings.kafka.model_copy(update={"topic_prefix": f"l{secrets.token_hex(4)}."})
    await ensure_topics(own, lambda _line: None)
    # A broker may not list topics that it has just created.
    async with asyncio.timeout(30), LagReader(own, timeout=20) as reader:
        while True:
            try:
                await reader.look()
            except MissingTopicsError:
                await asyncio.sleep(0.1)
            else:
                return own


async def send(kafka, topic, count, **options):
    producer = create_producer(kafka)
    await producer.start()
    try:
        for _ in range(count):
            await producer.send(topic, b"x" * 100_000, partition=0, **options)
        await producer.flush()
    finally:
        await producer.stop()


async def commit(kafka, role, topic, offset):
    consumer = create_consumer(
        kafka, group_id=Topics(kafka.topic_prefix).group(role), enable_auto_commit=False
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: offset})
    finally:
        await consumer.stop()


async def lags(reader):
    return {lag.role: (lag.messages, lag.seconds) for lag in await reader.look()}


async def test_field_24_messages_that_a_group_has_not_committed_are_its_lag(kafka):
    topics = Topics(kafka.topic_prefix)
    async with LagReader(kafka, timeout=20) as reader:
        assert await lags(reader) == dict.fromkeys(GROUPS, (0, 0.0))
        await send(kafka, topics.frames, 5)
        await send(kafka, topics.detected, 3)
        await send(kafka, topics.matches, 2)
        await lags(reader)
        measured = await lags(reader)
        assert {role: messages for role, (messages, _) in measured.items()} == {
            "detect": 5,
            "identify": 3,
            "follow": 2,
            "unknowns": 0,
        }
        await commit(kafka, "detect", topics.frames, 4)
        assert (await lags(reader))["detect"][0] == 1
        await commit(kafka, "detect", topics.frames, 5)
        assert (await lags(reader))["detect"] == (0, 0.0)


@pytest.mark.parametrize("ahead", [-(10**9), 1800], ids=["long ago", "to come"])
async def test_field_24_the_clocks_of_producers_do_not_count(kafka, ahead):
    stamp = int((time() + ahead) * 1000)
    topic = Topics(kafka.topic_prefix).frames
    async with LagReader(kafka, timeout=20) as reader:
        await lags(reader)
        await send(kafka, topic, 2, timestamp_ms=stamp)
        await lags(reader)
        messages, seconds = (await lags(reader))["detect"]
        assert messages == 2
        assert seconds < 60


async def test_field_24_control_records_are_not_lag(kafka):
    topic = Topics(kafka.topic_prefix).frames
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=secrets.token_hex(4)
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        pytest.skip(f"this broker has no transactions: {error}")
    try:
        async with producer.transaction():
            await producer.send(topic, b"x", partition=0)
    finally:
        await producer.stop()
    async with LagReader(kafka, timeout=20) as reader:
        assert (await lags(reader))["detect"][0] >= 1
        await commit(kafka, "detect", topic, 1)  # after the message; only the marker remains
        await lags(reader)
        assert (await lags(reader))["detect"] == (0, 0.0)
