"""What the routers work with: opened once for the process, closed with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from api.databases import Databases
from api.embedder import embedder_in_force
from api.intake import Intake
from api.keyring import Keyring
from api.limits import RequestLimit
from api.live import LiveMatches
from api.people import People
from api.pipeline import PipelineWatch
from api.uploads import UploadClient
from config.settings import DatabaseSettings, Settings
from config.supervisor import TaskState
from sinks.answers import AnswerWaiter
from sinks.crops import Crops
from sinks.rates import Rates
from sinks.recents import Recents
from sinks.records import Records
from sinks.vectors import Vectors
from streams.images import ImageProducer

AnyDatabase = TypeVar("AnyDatabase", bound=DatabaseSettings)


@dataclass(frozen=True, slots=True)
class Services:
    """Clients of every server, and what is shared between requests.

    None of them needs its server to be there when the process starts.
    """

    settings: Settings
    databases: Databases
    records: Records
    vectors: Vectors
    crops: Crops
    recents: Recents
    limit: RequestLimit
    intake: Intake
    uploads: UploadClient
    people: People
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
        databases = Databases(settings)
        stack.push_async_callback(databases.close)
        records = await stack.enter_async_context(Records(_lazy(settings.main_db)))
        crops = await stack.enter_async_context(Crops(settings.s3))
        rates = await stack.enter_async_context(Rates(settings.redis))
        waiter = AnswerWaiter(settings.redis)
        stack.push_async_callback(waiter.close)
        waiter.start()
        producer = ImageProducer(
            settings.kafka, store_image=crops.store_source, client_id="fecapass-api"
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
            records=records,
            vectors=await stack.enter_async_context(Vectors(_lazy(settings.vector_db))),
            crops=crops,
            recents=await stack.enter_async_context(Recents(settings.redis)),
            limit=RequestLimit(rates, settings.api.requests_per_minute),
            intake=Intake(settings.api.max_upload_memory, settings.api.answer_timeout),
            uploads=UploadClient(
                producer,
                waiter,
                records,
                publish_timeout=settings.api.publish_timeout,
                model=await embedder_in_force(settings.models),
            ),
            people=People(records),
            keyring=Keyring(databases.main),
            live=live,
            pipeline=pipeline,
            answers=waiter,
        )


def _lazy(database: AnyDatabase) -> AnyDatabase:
    """A pool that connects when first used: the API may start before its stores."""
    return database.model_copy(update={"pool_min": 0})


def get_services(request: Request) -> Services:
    """The services of this process, as a FastAPI dependency."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]
