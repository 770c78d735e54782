"""What transactional producers send: only what they committed counts, and nothing holds the lag.

Apache Kafka alone has transactions; the embedded broker has none.
"""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.conftest import STACK_VARIABLE
from tests.end_to_end.delivery import bench, until

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(
        os.environ.get(STACK_VARIABLE) != "containers",
        reason="the embedded broker has no transactions",
    ),
]


@pytest.fixture
async def own(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as made:
        yield made


@asynccontextmanager
async def transactional(own):
    producer = AIOKafkaProducer(
        bootstrap_servers=own.settings.kafka.bootstrap_servers,
        transactional_id=f"txn-{uuid4().hex}",
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(producer, topic, partition, *values):
    for value in values:
        await producer.send_and_wait(topic, value, key=b"door-1", partition=partition)


async def commit(producer, topic, partition, *values):
    async with producer.transaction():
        await send(producer, topic, partition, *values)


async def abort(producer, topic, partition, *values):
    await producer.begin_transaction()
    await send(producer, topic, partition, *values)
    await producer.abort_transaction()


async def ends(own):
    """Every partition's end, markers of transactions included."""
    consumer = AIOKafkaConsumer(bootstrap_servers=own.settings.kafka.bootstrap_servers)
    await consumer.start()
    try:
        places = [
            TopicPartition(topic, number)
            for topic in (own.topics.frames, own.topics.uploads)
            for number in (0, 1)
        ]
        return await consumer.end_offsets(places)
    finally:
        await consumer.stop()


async def all_is_committed(own):
    return all(
        [
            await own.committed(tp.topic, tp.partition) == end
            for tp, end in (await ends(own)).items()
        ]
    )


async def no_lag(worker):
    return await worker.metric("fecapass_consumer_lag_messages{") == 0


def values(own):
    """Of what was processed."""
    return sorted(line[2] for line in own.events if line[0] == "done")


async def test_field_05_aborted_transactions_are_not_processed_and_leave_no_lag(own):
    frames, uploads = own.topics.frames, own.topics.uploads
    async with transactional(own) as producer:
        await commit(producer, frames, 0, b"ok 1", b"ok 2")
        await abort(producer, frames, 0, b"ok aborted")
        # One message, then a gap: Faust would never commit behind it.
        await commit(producer, frames, 1, b"ok 3")
        await abort(producer, frames, 1, b"ok aborted", b"ok aborted")
        await commit(producer, frames, 1, b"ok 4")
        # No message at all, neither at first nor later.
        await abort(producer, uploads, 0, b"ok aborted")
        worker = own.start()
        await until(lambda: len(values(own)) == 4)
        await until(lambda: no_lag(worker))
        await until(lambda: all_is_committed(own))
        await abort(producer, uploads, 1, b"ok aborted")
        await commit(producer, frames, 0, b"ok 5")
        await until(lambda: len(values(own)) == 5)
        await until(lambda: no_lag(worker))
        await until(lambda: all_is_committed(own))
    assert values(own) == ["ok 1", "ok 2", "ok 3", "ok 4", "ok 5"]


async def test_field_05_an_open_transaction_is_no_stall_and_no_lag(own):
    worker = own.start(WORKERS__STALL_TIMEOUT="2")
    async with transactional(own) as producer:
        await producer.begin_transaction()
        await send(producer, own.topics.frames, 0, b"ok open")
        await own.publish("ok behind", partition=0)
        await own.publish("ok elsewhere", partition=1)
        await until(lambda: values(own) == ["ok elsewhere"])
        await asyncio.sleep(6)  # the broker was asked for its ends in this time
        assert worker.returncode is None, worker.tail()
        assert await no_lag(worker)
        await producer.commit_transaction()
        await until(lambda: values(own) == ["ok behind", "ok elsewhere", "ok open"])
        await until(lambda: all_is_committed(own))


async def test_field_05_what_is_not_acknowledged_is_not_committed_past(own):
    """A message waits for its store, with aborted ones on either side."""
    back = own.folder / "back"
    async with transactional(own) as producer:
        await abort(producer, own.topics.frames, 0, b"ok aborted")
        await commit(producer, own.topics.frames, 0, f"wait {back}".encode())
        await abort(producer, own.topics.frames, 0, b"ok aborted")
        worker = own.start(OVERLAP="2")
        await until(lambda: own.noted("begin"))
        await until(lambda: worker.metric("fecapass_consumer_lag_messages{"))
        assert await own.committed() <= 2
        back.touch()
        await until(lambda: all_is_committed(own))
        await until(lambda: no_lag(worker))


async def test_field_05_all_is_read_where_that_is_wanted(own):
    async with transactional(own) as producer:
        await commit(producer, own.topics.frames, 0, b"ok 1")
        await abort(producer, own.topics.frames, 0, b"ok aborted")
        worker = own.start(KAFKA__ISOLATION_LEVEL="read_uncommitted")
        await until(lambda: values(own) == ["ok 1", "ok aborted"])
        await until(lambda: all_is_committed(own))
        await until(lambda: no_lag(worker))


async def test_field_05_dead_letters_of_a_transaction_that_is_open_hold_up_no_listing(own):
    from tests.end_to_end.test_dead_letters import fecapass

    topic = own.topics.dead_letter(own.topics.frames)
    async with transactional(own) as producer:
        await commit(producer, topic, 0, b"a")
        await abort(producer, topic, 0, b"aborted")
        await producer.begin_transaction()
        await send(producer, topic, 0, b"open")
        async with asyncio.timeout(20):
            code, output, errors = await fecapass(own, "dead-letters", "camera.frames", "--json")
        assert code == 0, errors
        assert len(json.loads(output)) == 1
        await producer.abort_transaction()
