"""Servers that are set up, and each sink connected to its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from config.settings import Settings
from infra.init_db import initialise
from sinks.crops import Crops
from sinks.recents import Recents
from sinks.records import Records
from sinks.vectors import Vectors


@pytest_asyncio.fixture(scope="session")
async def prepared(settings: Settings) -> Settings:
    """Settings that lead to servers on which ``init-db`` has run."""
    await initialise(settings, [], lambda _line: None)
    return settings


@pytest_asyncio.fixture(scope="session")
async def records(prepared: Settings) -> AsyncIterator[Records]:
    async with Records(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def vectors(prepared: Settings) -> AsyncIterator[Vectors]:
    async with Vectors(prepared.vector_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def crops(prepared: Settings) -> AsyncIterator[Crops]:
    async with Crops(prepared.s3) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def recents(prepared: Settings) -> AsyncIterator[Recents]:
    async with Recents(prepared.redis) as sink:
        yield sink


@pytest.fixture
def nowhere(prepared: Settings) -> Settings:
    """The same settings, but with ports at which nothing listens."""
    dead = {"port": 1, "connect_timeout": 1.0}
    return prepared.model_copy(
        update={
            "main_db": prepared.main_db.model_copy(update=dead),
            "vector_db": prepared.vector_db.model_copy(update=dead),
            "redis": prepared.redis.model_copy(update={"port": 1, "timeout": 0.5}),
            "s3": prepared.s3.model_copy(
                update={"endpoint_url": "http://127.0.0.1:1", "connect_timeout": 1.0}
            ),
            "kafka": prepared.kafka.model_copy(
                update={"bootstrap_servers": "127.0.0.1:1", "request_timeout": 1.0}
            ),
        }
    )
