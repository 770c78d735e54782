"""Databases of their own: no worker of the session takes what these tests note or are to send."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from config.settings import Settings
from infra.database.init_db import initialise
from infra.maintenance.unknown_rounds import UnknownRounds, opened_unknown_rounds
from sinks.main.main_store import Records
from sinks.main.unknowns.unknown_maintenance import UnknownMaintenance
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.main.visit_store import VisitStore
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from sinks.vector.vector_store import Vectors
from tests.contract.builders import unique
from tests.contract.stored_people import young
from tests.contract.stored_unknowns import Crowd, Planted


@pytest_asyncio.fixture(scope="session")
async def prepared(prepared: Settings) -> Settings:
    """Settings that lead to such databases."""
    own = prepared.model_copy(
        update={
            which: settings.model_copy(update={"name": f"people_{settings.name}"})
            for which, settings in (
                ("main_db", prepared.main_db),
                ("vector_db", prepared.vector_db),
            )
        }
    )
    await initialise(own, [], lambda _line: None)
    return own


@pytest_asyncio.fixture(scope="session")
async def records(prepared: Settings) -> AsyncIterator[Records]:
    async with Records(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def vectors(prepared: Settings) -> AsyncIterator[Vectors]:
    async with Vectors(prepared.vector_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def visits(prepared: Settings) -> AsyncIterator[VisitStore]:
    async with VisitStore(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture
async def keeper(prepared: Settings) -> AsyncIterator[UnknownMaintenance]:
    async with UnknownMaintenance(prepared.main_db) as store:
        yield store


@pytest_asyncio.fixture
async def rounds(prepared: Settings) -> AsyncIterator[UnknownRounds]:
    async with opened_unknown_rounds(young(prepared)) as opened:
        yield opened


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(unique("model"), np.random.default_rng(7))


@pytest.fixture
def planted(
    records: Records,
    visits: VisitStore,
    vectors: Vectors,
    unknowns: UnknownStore,
    unknown_gallery: UnknownGallery,
    crowd: Crowd,
) -> Planted:
    return Planted(records, visits, vectors, unknowns, unknown_gallery, crowd)


@pytest_asyncio.fixture(scope="session")
async def unknowns(prepared: Settings) -> AsyncIterator[UnknownStore]:
    async with UnknownStore(prepared.main_db) as sink:
        yield sink


@pytest_asyncio.fixture(scope="session")
async def unknown_gallery(prepared: Settings) -> AsyncIterator[UnknownGallery]:
    async with UnknownGallery(prepared.vector_db) as sink:
        yield sink
