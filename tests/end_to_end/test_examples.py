"""The programs in docs/examples, run as a reader would run them."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from infra.demo.sample_media import ASTRONAUT
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


async def start(name, *arguments):
    program = str(EXAMPLES / name)
    return await asyncio.create_subprocess_exec(sys.executable, program, *arguments, stdout=PIPE)


async def publish(settings, camera, file):
    kafka = settings.kafka
    producer = await start(
        "producer.py", kafka.bootstrap_servers, camera, str(file), kafka.topic_prefix
    )
    printed, _ = await producer.communicate()
    assert producer.returncode == 0
    return printed.decode().strip()


async def test_the_producer_is_heard_on_faces_matches(workers, prepared, topics):
    async with listening(prepared, topics.matches) as matches:
        event_id = await publish(prepared, "example-producer", ASTRONAUT.locate())
        (message,) = await matches.messages(1, lambda message: message.key == b"example-producer")
    assert f'"event_id":"{event_id}"' in message.value.decode()


async def test_the_consumer_prints_who_is_seen(workers, prepared, tmp_path):
    kafka = prepared.kafka
    consumer = await start("consumer.py", kafka.bootstrap_servers, kafka.topic_prefix)
    picture = tmp_path / "two.jpg"
    picture.write_bytes(photos.two_people())
    sent, lines = [], []

    async def both_faces_of_one_event():
        while True:
            lines.append((await consumer.stdout.readline()).decode().split())
            # Faces of other tests may come, too.
            events = [line[0] for line in lines if line[1] == "example-consumer"]
            if any(events.count(event) == 2 for event in events):
                return

    reading = asyncio.create_task(both_faces_of_one_event())
    try:
        async with asyncio.timeout(90):
            # It tells what comes from its start on, and cannot say when that was: send until heard.
            while not reading.done():
                sent.append(await publish(prepared, "example-consumer", picture))
                await asyncio.wait({reading}, timeout=2)
            await reading
    finally:
        reading.cancel()
        consumer.terminate()
        await consumer.wait()
    ours = [line for line in lines if line[1] == "example-consumer"]
    assert ours
    assert {line[0] for line in ours} <= set(sent)
    assert all(len(line) == 4 for line in ours)


@pytest.mark.parametrize("name", ["producer.py", "consumer.py"])
@pytest.mark.parametrize("arguments", [(), ("a",) * 5], ids=["none", "too many"])
async def test_other_arguments_print_the_usage(name, arguments):
    program = str(EXAMPLES / name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, *arguments, stdout=PIPE, stderr=PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    (line,) = errors.decode().splitlines()
    assert line.startswith(f"usage: python {name} BROKER")
