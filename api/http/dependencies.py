"""What the routers work with: opened once for the process, closed with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.key_cache import Keyring
from api.auth.rate_limits import RequestLimit
from api.health.pipeline_status import PipelineWatch
from api.listings.search_turns import SearchTurns
from api.live.listener import Places
from api.live.match_broadcast import LiveMatches
from api.live.user_cache import UserCache
from api.live.visit_broadcast import LiveVisits
from api.uploads.upload_budget import Intake
from config.settings import DatabaseSettings, Settings
from config.tasks.supervisor import TaskState
from services.current_embedder import embedder_in_force
from services.people.people_corrections import Corrections, open_corrections
from services.photo_uploads import UploadClient
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.cache.request_rates import Rates
from sinks.main.database_sessions import Databases
from sinks.main.models.model_store import ModelStore
from sinks.main.unknowns.unknown_regrouping import UnknownRegrouping
from sinks.stores import Stores, opened
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from streams.clients.image_producer import ImageProducer


@dataclass(frozen=True, slots=True)
class Services:
    """Clients of every server, and what is shared between requests.

    None of them needs its server to be there when the process starts.
    """

    settings: Settings
    databases: Databases
    stores: Stores
    unknowns: UnknownRegrouping
    unknown_gallery: UnknownGallery
    places: Places
    limit: RequestLimit
    wrong_keys: RequestLimit
    intake: Intake
    turns: SearchTurns
    uploads: UploadClient
    corrections: Corrections
    people: UserCache
    keyring: Keyring
    live: LiveMatches
    live_visits: LiveVisits
    pipeline: PipelineWatch
    answers: AnswerWaiter

    def tasks(self) -> list[TaskState]:
        """How all tasks in the background of this process are doing."""
        of_all = (self.answers, self.live, self.live_visits, self.pipeline)
        return [task for one in of_all for task in one.tasks()]

    def end_streams(self) -> None:
        """End every open stream: a server that stops waits for open responses."""
        self.live.end_streams()
        self.live_visits.end_streams()

    def forget_user(self, user_id: UUID) -> None:
        """Keep nothing of a user who was erased in this process."""
        self.live.forget_user(user_id)
        self.live_visits.forget_user(user_id)
        self.people.forget(user_id)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; connections are made when they are needed."""
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(Databases(settings))
        stores = Stores.of(settings, _with_lazy_pool)
        await stack.enter_async_context(opened(stores))
        unknowns = await stack.enter_async_context(
            UnknownRegrouping(_with_lazy_pool(settings.main_db))
        )
        unknown_gallery = await stack.enter_async_context(
            UnknownGallery(_with_lazy_pool(settings.vector_db))
        )
        models = await stack.enter_async_context(ModelStore(settings.main_db))
        corrections = await stack.enter_async_context(open_corrections(stores, settings))
        rates = await stack.enter_async_context(Rates(settings.redis))
        waiter = AnswerWaiter(settings.redis)
        stack.push_async_callback(waiter.close)
        waiter.start()
        producer = ImageProducer(
            settings.kafka, store_image=stores.crops.store_source, client_id="fecapass-api"
        )
        stack.push_async_callback(producer.stop)
        live = LiveMatches(settings.kafka, settings.api)
        live_visits = LiveVisits(settings.kafka, settings.api)
        for broadcast in (live, live_visits):
            stack.push_async_callback(broadcast.close)
            broadcast.start()
        pipeline = PipelineWatch(settings.kafka, settings.api)
        stack.push_async_callback(pipeline.close)
        pipeline.start()
        yield Services(
            settings=settings,
            databases=databases,
            stores=stores,
            unknowns=unknowns,
            unknown_gallery=unknown_gallery,
            places=Places(settings.api.stream_clients, settings.api.stream_clients_per_key),
            limit=RequestLimit(
                rates,
                per_minute := settings.api.requests_per_minute,
                "key",
                f"this key may make {per_minute} requests a minute",
            ),
            wrong_keys=RequestLimit(
                rates,
                settings.api.wrong_keys_per_minute,
                "wrong keys",
                "too many wrong keys came from this address: try again in a minute",
            ),
            intake=Intake(settings.api.max_upload_memory, settings.api.answer_timeout),
            # Half of the connections are left to others.
            turns=SearchTurns(settings.vector_db.pool_max // 2, settings.api.answer_timeout),
            uploads=UploadClient(
                producer,
                waiter,
                stores.records,
                publish_timeout=settings.api.publish_timeout,
                model=await embedder_in_force(settings.models),
                serving=models.serving,
            ),
            corrections=corrections,
            people=UserCache(stores.records),
            keyring=Keyring(databases.main),
            live=live,
            live_visits=live_visits,
            pipeline=pipeline,
            answers=waiter,
        )


def _with_lazy_pool(database: DatabaseSettings) -> DatabaseSettings:
    """A pool that connects when first used: the API may start before its stores."""
    return database.model_copy(update={"pool_min": 0})


def get_services(request: Request) -> Services:
    """The services of this process, as a FastAPI dependency."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_main_db(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    """A session on the main database for the time of a request."""
    async with services.databases.main() as session:
        yield session


async def get_vector_db(services: ServicesDep) -> AsyncIterator[AsyncSession]:
    """A session on the vector database for the time of a request."""
    async with services.databases.vector() as session:
        yield session


MainDb = Annotated[AsyncSession, Depends(get_main_db)]
VectorDb = Annotated[AsyncSession, Depends(get_vector_db)]
