"""What the tests of delivery share: topics of a test's own, and workers that obey messages."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.database.init_db import initialise
from infra.demo.demo_workers import ListeningProcess
from streams.clients.client_factory import create_producer
from streams.contract.topics import Topics

FAST = {
    "KAFKA__COMMIT_INTERVAL": "0.2",
    "KAFKA__FRAMES_PARTITIONS": "2",
    "KAFKA__UPLOADS_PARTITIONS": "2",
    "WORKERS__RETRY_INITIAL": "0.05",
    "WORKERS__RETRY_MAXIMUM": "0.5",
    "WORKERS__STOP_TIMEOUT": "8",
    "WORKERS__DEAD_LETTER_SHARE": "1",
}


class ObedientWorker(ListeningProcess):
    """`tests.end_to_end.delivery_worker` as a process."""

    program = "tests.end_to_end.delivery_worker"

    def __init__(self, environment, log):
        super().__init__((), environment | {"FECAPASS_WORKERS__HEALTH_PORT": "0"}, log)

    async def ended(self, seconds):
        """The exit code, and how long it took."""
        began = time.monotonic()
        await asyncio.to_thread(self._process.wait, seconds)
        return self.returncode, time.monotonic() - began

    def send(self, number):
        os.kill(self.pid, number)

    async def metric(self, name):
        """Sum of a metric's samples."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.address}/metrics") as answer,
        ):
            text = await answer.text()
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass
class Bench:
    """Topics of a test's own, and what happens on them."""

    settings: object
    environment: dict
    folder: Path
    workers: list = field(default_factory=list)

    @property
    def topics(self):
        return Topics(self.settings.kafka.topic_prefix)

    @property
    def events(self):
        """What the workers have noted: begin, done, assigned."""
        log = self.folder / "events"
        return [line.split(" ", 2) for line in log.read_text().splitlines()] if log.exists() else []

    def noted(self, event):
        return [rest[0] for name, *rest in self.events if name == event]

    def start(self, **variables):
        own = {f"FECAPASS_{name}": value for name, value in variables.items() if "__" in name}
        hazard = {f"HAZARD_{name}": value for name, value in variables.items() if "__" not in name}
        worker = ObedientWorker(
            {**self.environment, **own, **hazard, "HAZARD_LOG": str(self.folder / "events")},
            self.folder / f"worker-{len(self.workers)}.log",
        )
        self.workers.append(worker)
        return worker

    async def publish(self, *values, topic=None, key=b"door-1", partition=0, headers=()):
        """Send values; returns their addresses."""
        producer = create_producer(self.settings.kafka)
        await producer.start()
        try:
            sent = [
                await producer.send_and_wait(
                    topic or self.topics.frames,
                    value.encode() if isinstance(value, str) else value,
                    key,
                    partition,
                    headers=list(headers),
                )
                for value in values
            ]
        finally:
            await producer.stop()
        return [f"{one.topic}/{one.partition}/{one.offset}" for one in sent]

    async def committed(self, topic=None, partition=0, role="hazard"):
        """The group's offset on a partition."""
        tp = TopicPartition(topic or self.topics.frames, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=f"{self.settings.kafka.topic_prefix}fecapass-{role}",
            enable_auto_commit=False,
        )
        consumer.assign([tp])
        await consumer.start()
        try:
            return await consumer.committed(tp) or 0
        finally:
            await consumer.stop()

    async def letters(self, topic=None):
        """All messages of a topic of dead letters."""
        name = Topics.dead_letter(topic or self.topics.frames)
        consumer = AIOKafkaConsumer(
            name,
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            await consumer.seek_to_beginning()
            found = []
            while chunk := await consumer.getmany(timeout_ms=1000):
                found += [message for batch in chunk.values() for message in batch]
        finally:
            await consumer.stop()
        return found


async def until(condition, seconds=60):
    """Wait for a condition, which may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if asyncio.iscoroutine(met):
                met = await met
            if met:
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def bench(base, environment, folder, **variables):
    """Topics and a consumer group of one's own; the workers are ended at the end."""
    prefix = f"delivery{uuid4().hex[:6]}."
    own = {**FAST, "KAFKA__TOPIC_PREFIX": prefix, **variables}
    kafka = base.kafka.model_copy(
        update={"topic_prefix": prefix, "frames_partitions": 2, "uploads_partitions": 2}
    )
    settings = base.model_copy(update={"kafka": kafka})
    await initialise(settings, [], lambda _line: None)
    made = Bench(
        settings,
        {**environment, **{f"FECAPASS_{name}": value for name, value in own.items()}},
        folder,
    )
    try:
        yield made
    finally:
        for worker in made.workers:
            if worker.returncode is None:
                worker.send(signal.SIGKILL)
                await worker.ended(10)
