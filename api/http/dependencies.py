"""What the routers work with: opened once for the process, closed with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.key_cache import Keyring
from api.auth.rate_limits import RequestLimit
from api.health.pipeline_status import PipelineWatch
from api.live.match_broadcast import LiveMatches
from api.live.user_cache import UserCache
from api.uploads.upload_budget import Intake
from config.settings import DatabaseSettings, Settings
from config.tasks.supervisor import TaskState
from services.current_embedder import embedder_in_force
from services.photo_uploads import UploadClient
from sinks.cache.answer_waiter import AnswerWaiter
from sinks.cache.request_rates import Rates
from sinks.main.database_sessions import Databases
from sinks.stores import Stores, opened
from streams.clients.image_producer import ImageProducer


@dataclass(frozen=True, slots=True)
class Services:
    """Clients of every server, and what is shared between requests.

    None of them needs its server to be there when the process starts.
    """

    settings: Settings
    databases: Databases
    stores: Stores
    limit: RequestLimit
    intake: Intake
    uploads: UploadClient
    people: UserCache
    keyring: Keyring
    live: LiveMatches
    pipeline: PipelineWatch
    answers: AnswerWaiter

    def tasks(self) -> list[TaskState]:
        """How all tasks in the background of this process are doing."""
        return [*self.answers.tasks(), *self.live.tasks(), *self.pipeline.tasks()]


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; connections are made when they are needed."""
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(Databases(settings))
        stores = Stores.of(settings, _with_lazy_pool)
        await stack.enter_async_context(opened(stores))
        rates = await stack.enter_async_context(Rates(settings.redis))
        waiter = AnswerWaiter(settings.redis)
        stack.push_async_callback(waiter.close)
        waiter.start()
        producer = ImageProducer(
            settings.kafka, store_image=stores.crops.store_source, client_id="fecapass-api"
        )
        stack.push_async_callback(producer.stop)
        live = LiveMatches(settings.kafka, settings.api)
        stack.push_async_callback(live.close)
        live.start()
        pipeline = PipelineWatch(settings.kafka, settings.api)
        stack.push_async_callback(pipeline.close)
        pipeline.start()
        yield Services(
            settings=settings,
            databases=databases,
            stores=stores,
            limit=RequestLimit(rates, settings.api.requests_per_minute),
            intake=Intake(settings.api.max_upload_memory, settings.api.answer_timeout),
            uploads=UploadClient(
                producer,
                waiter,
                stores.records,
                publish_timeout=settings.api.publish_timeout,
                model=await embedder_in_force(settings.models),
            ),
            people=UserCache(stores.records),
            keyring=Keyring(databases.main),
            live=live,
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
