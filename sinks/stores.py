"""The four stores, and the one list of those that hold personal data: all of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from config.settings import DatabaseSettings, Settings
from domain.personal_data import PersonalData
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.vector.vector_store import Vectors

AnyStores = TypeVar("AnyStores", bound="Stores")


@dataclass(frozen=True, slots=True)
class Stores:
    """The four stores.

    Attributes:
        records: Postgres.
        vectors: pgvector.
        crops: S3.
        recents: Redis.
    """

    records: Records
    vectors: Vectors
    crops: Crops
    recents: Recents

    _records_type: ClassVar[type[Records]] = Records
    _vectors_type: ClassVar[type[Vectors]] = Vectors

    @classmethod
    def of(
        cls, settings: Settings, adapt: Callable[[DatabaseSettings], DatabaseSettings] | None = None
    ) -> Self:
        """The stores that these settings name; nothing is connected yet.

        Args:
            settings: where they are.
            adapt: changes the settings of both databases.
        """
        adapt = adapt or (lambda database: database)
        return cls(
            records=cls._records_type(adapt(settings.main_db)),
            vectors=cls._vectors_type(adapt(settings.vector_db)),
            crops=Crops(settings.s3),
            recents=Recents(settings.redis),
        )

    @property
    def personal_data(self) -> tuple[PersonalData, ...]:
        """Every store that holds personal data, in the order of an erasure.

        The main database comes last, so that after a failure the same call finds the user again.
        Looking and deleting by age ask it first: it knows what is in the other stores.
        """
        return (self.vectors, self.crops, self.recents, self.records)


@asynccontextmanager
async def opened(stores: AnyStores) -> AsyncIterator[AnyStores]:
    """Connect to all four; close them at the end.

    Raises:
        StoreUnavailable: one of them is unavailable.
    """
    async with AsyncExitStack() as stack:
        for store in (stores.crops, stores.vectors, stores.records, stores.recents):
            await stack.enter_async_context(store)
        yield stores
