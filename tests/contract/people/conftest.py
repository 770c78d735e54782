"""Databases of their own: no worker of the session takes what these tests note or are to send."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio

from agents.people.correction_follower import CorrectionFollower
from config.settings import Settings
from infra.database.init_db import initialise
from infra.maintenance.unknown_rounds import UnknownRounds, opened_unknown_rounds
from services.people.people_corrections import open_corrections
from sinks.main.main_store import Records
from sinks.main.people.correction_work import CorrectionWork
from sinks.main.people.people_messages import PeopleMessages
from sinks.main.people.veto_store import VetoStore
from sinks.main.unknowns.unknown_maintenance import UnknownMaintenance
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.main.visit_store import VisitStore
from sinks.stores import Stores
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from sinks.vector.vector_store import Vectors
from streams.contract.topics import Topics
from tests.contract.builders import unique
from tests.contract.people.corrected_people import Broker
from tests.contract.stored_people import young
from tests.contract.stored_unknowns import Crowd, Planted, with_unknowns


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
    async with opened_unknown_rounds(with_unknowns(young(prepared))) as opened:
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


@pytest.fixture
async def world(stored, recents):
    """The stores, two users with photos, and what corrects them."""
    async with AsyncExitStack() as stack:
        stores = Stores(
            records=stored.records, vectors=stored.vectors, crops=stored.crops, recents=recents
        )
        enter = stack.enter_async_context
        corrections = await enter(open_corrections(stores, stored.prepared))
        work = await enter(CorrectionWork(stored.prepared.main_db))
        visits = await enter(VisitStore(stored.prepared.main_db))
        messages = await enter(PeopleMessages(stored.prepared.main_db))
        vetoes = await enter(VetoStore(stored.prepared.main_db))
        async with stored.records._connection("test") as connection:
            for table in ("people_messages", "correction_work", "vetoes"):
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608
        broker, sent_visits = Broker(), []

        async def send(cameras):
            sent_visits.extend(cameras)
            await visits.sent(await visits.unsent(cameras))

        yield SimpleNamespace(
            stored=stored, stores=stores, corrections=corrections, visits=visits, broker=broker,
            messages=messages, vetoes=vetoes, sent_visits=sent_visits,
            follower=CorrectionFollower(work, stored.vectors, recents, send, broker, Topics()),
        )  # fmt: skip
