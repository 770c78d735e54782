"""Fixtures of the sinks' contract tests."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from config.settings import Settings
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.main.visit_store import VisitStore
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from tests.contract.builders import unique
from tests.contract.stored_people import DIMENSION, StoredData, reconcile, short_lived, young


@pytest.fixture
def nowhere(prepared: Settings) -> Settings:
    """The settings with ports on which no server listens."""
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


@pytest.fixture
async def clean(prepared):
    """Stores without faults, also if other tests have planted some."""
    await asyncio.sleep(1.1)  # S3 reports the time of a write in whole seconds
    await reconcile(short_lived(young(prepared)))
    assert set((await reconcile(young(prepared))).values()) == {(0, 0)}


@pytest.fixture
async def stored(prepared, records, vectors, crops):
    model = unique("reconciled")
    await vectors.ensure_model(model, DIMENSION)
    return StoredData(prepared, records, vectors, crops, model, np.random.default_rng(11))


@pytest_asyncio.fixture(scope="session")
async def visits(prepared: Settings) -> AsyncIterator[VisitStore]:
    async with VisitStore(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def unknowns(prepared: Settings) -> AsyncIterator[UnknownStore]:
    async with UnknownStore(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def unknown_gallery(prepared: Settings) -> AsyncIterator[UnknownGallery]:
    async with UnknownGallery(prepared.vector_db) as sink:
        yield sink
