"""The four sinks of the identify agent, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from config.settings import DatabaseSettings, Settings
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors

#: No statement of a batch takes longer, in seconds, unless its line is dead or its server stands
#: still; the batch is tried again then.
_STATEMENT_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the effects of an event go.

    Attributes:
        crops: S3.
        vectors: pgvector.
        records: Postgres.
        recents: Redis.
    """

    crops: Crops
    vectors: Vectors
    records: Records
    recents: Recents


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Connect to all four.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with AsyncExitStack() as stack:
        yield Stores(
            crops=await stack.enter_async_context(Crops(settings.s3)),
            vectors=await stack.enter_async_context(Vectors(_prompt(settings.vector_db))),
            records=await stack.enter_async_context(Records(_prompt(settings.main_db))),
            recents=await stack.enter_async_context(Recents(settings.redis)),
        )


def _prompt(settings: DatabaseSettings) -> DatabaseSettings:
    """The settings for the statements of batches, which are all short."""
    seconds = min(settings.command_timeout, _STATEMENT_SECONDS)
    return settings.model_copy(update={"command_timeout": seconds})
