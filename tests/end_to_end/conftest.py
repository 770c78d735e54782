"""The whole pipeline: both workers as processes of their own, on the session's servers."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings
from domain.personal_data import DataSubject
from infra.demo.demo_workers import Worker
from infra.photos.upload_requests import Client, open_client
from ml.runtime.model_registry import SFACE
from sinks.vector.vector_store import Vectors
from streams.clients.client_factory import create_consumer, create_producer
from streams.contract.topics import ROLES, Topics
from tests.end_to_end.delivery import until
from tests.end_to_end.object_store import ObjectStore


@asynccontextmanager
async def running_workers(
    kinds: Sequence[str], environment: Mapping[str, str], logs: Path
) -> AsyncIterator[list[Worker]]:
    """Healthy workers; stopped at the end."""
    workers = []
    try:
        for number, kind in enumerate(kinds):
            workers.append(Worker(kind, environment, logs / str(number)))
        await asyncio.gather(*(worker.ready() for worker in workers))
        yield workers
    finally:
        await asyncio.gather(*(worker.stop(30) for worker in workers))


@pytest.fixture(scope="session")
def shared_workers() -> list[Worker]:
    """Those of the session, once a test has needed them."""
    return []


@pytest_asyncio.fixture(scope="session")
async def workers(
    prepared: Settings,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    shared_workers: list[Worker],
) -> AsyncIterator[list[Worker]]:
    logs = tmp_path_factory.mktemp("logs")
    async with running_workers(ROLES, environment, logs) as started:
        shared_workers += started
        yield started
        shared_workers.clear()


async def knows_nobody(worker: Worker) -> bool:
    """Whether a worker's copy of the gallery is empty."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{worker.address}/metrics") as response,
    ):
        families = text_string_to_metric_families(await response.text())
        return not any(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "fecapass_gallery_templates" and sample.labels["model"] == SFACE.id
        )


@pytest_asyncio.fixture(scope="module", autouse=True)
async def nobody_enrolled(vectors: Vectors, shared_workers: list[Worker]) -> None:
    """Each module begins with an empty gallery: one face under two names would be ambiguous.

    Workers that run know it, too: an unknown person would be whom the last module enrolled.
    """
    async with vectors._connection("test") as connection:
        enrolled = await connection.fetch(
            "SELECT DISTINCT user_id FROM gallery WHERE embedding IS NOT NULL"
        )
    for row in enrolled:
        await vectors.erase(DataSubject(row["user_id"]))
    for worker in shared_workers:
        await until(partial(knows_nobody, worker))


@pytest_asyncio.fixture(scope="session")
async def client(workers: list[Worker], prepared: Settings) -> AsyncIterator[Client]:
    """Enrols and searches; photos travel by claim check or inline, as the settings say."""
    patient = prepared.api.model_copy(update={"answer_timeout": 60.0})
    async with open_client(prepared.model_copy(update={"api": patient})) as opened:
        yield opened


@pytest.fixture
async def store():
    """An object store that answers as a test has it."""
    async with ObjectStore() as running:
        yield running


@pytest.fixture
def topics(prepared: Settings) -> Topics:
    return Topics(prepared.kafka.topic_prefix)


@pytest_asyncio.fixture
async def producer(prepared: Settings):
    """A producer that knows the contract only by what a test puts into its messages."""
    opened = create_producer(prepared.kafka)
    await opened.start()
    yield opened
    await opened.stop()


@dataclass
class Listener:
    """Reads a topic from the moment that the test began."""

    consumer: object

    async def messages(self, count, wanted, seconds=90):
        """The first messages that are wanted, once there are that many."""
        found = []
        async with asyncio.timeout(seconds):
            while len(found) < count:
                message = await self.consumer.getone()
                if wanted(message):
                    found.append(message)
        return found


@asynccontextmanager
async def listening(settings: Settings, topic: str) -> AsyncIterator[Listener]:
    consumer = create_consumer(settings.kafka, topic, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        await consumer.seek_to_end()
        # Positions are fetched lazily; asking for them fixes where "from now on" begins.
        await asyncio.gather(*(consumer.position(tp) for tp in consumer.assignment()))
        yield Listener(consumer)
    finally:
        await consumer.stop()


@pytest_asyncio.fixture
async def matches(prepared: Settings, topics: Topics) -> AsyncIterator[Listener]:
    async with listening(prepared, topics.matches) as listener:
        yield listener


@pytest.fixture
def fecapass(environment):
    """A command as a user runs it in a pipe: exit code, output, errors."""

    async def run(*arguments, encoding="utf-8", **more):
        own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "infra.cli.main", *arguments],
            env={**own, **environment, "PYTHONIOENCODING": encoding, **more},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert b"Traceback" not in ended.stderr, ended.stderr.decode()
        return ended.returncode, ended.stdout.decode(encoding), ended.stderr.decode(encoding)

    return run
