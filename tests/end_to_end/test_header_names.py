"""A header whose name is not UTF-8, through a real broker and a worker: Kafka takes any bytes."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.end_to_end.delivery import bench, until

pytestmark = pytest.mark.waits

#: aiokafka's own producer takes text alone; written in Python, it asks the text for its bytes.
PRODUCER = """
import asyncio
import sys

from aiokafka import AIOKafkaProducer


class Name(str):
    def encode(self, *_how):
        return b"x-" + bytes([255, 254])


async def main():
    servers, topic = sys.argv[1:]
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for value in (b"ok", b"reject", b"ok"):
            odd = [(Name("x"), b"v")] if value == b"reject" else []
            await producer.send_and_wait(topic, value, b"door-1", partition=0, headers=odd)


asyncio.run(main())
"""


@pytest.fixture
async def own(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as made:
        yield made


async def test_it_stops_neither_its_partition_nor_the_worker(own):
    worker = own.start()
    servers = own.settings.kafka.bootstrap_servers
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PRODUCER, servers, own.topics.frames],
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        check=True,
        timeout=60,
    )
    await until(lambda: len(own.noted("done")) == 2)
    await until(own.letters)
    assert worker.returncode is None, worker.tail()
    (letter,) = await own.letters()
    assert letter.value == b"reject"
    assert dict(letter.headers)[r"x-\xff\xfe"] == b"v"
