"""Async sessions of SQLAlchemy on both databases.

Their connections are made as the sinks make theirs (`sinks.postgres.connect`), and dropped for the
same reasons.
"""

from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from config.settings import DatabaseSettings, Settings
from sinks.postgres.connect import Connector
from sinks.postgres.driver_errors import Damage, damage_of
from sinks.postgres.pool import IS_READ_ONLY, READ_ONLY_DETAIL
from sinks.sink import Connected
from sinks.store_errors import StoreReadOnly

#: No request keeps a transaction for longer.
_REQUEST_SECONDS = 300.0


class Databases(Connected):
    """An engine and a maker of sessions for each database; connected when first used."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is connected yet."""
        self._main_engine = create_engine(settings.main_db, "main")
        self._vector_engine = create_engine(settings.vector_db, "vector")
        self.main = async_sessionmaker(self._main_engine, expire_on_commit=False)
        self.vector = async_sessionmaker(self._vector_engine, expire_on_commit=False)

    async def connect(self) -> None:
        """Nothing to do: connections are made when needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._main_engine.dispose()
        await self._vector_engine.dispose()


def create_engine(settings: DatabaseSettings, name: str = "a") -> AsyncEngine:
    """An engine whose connections are checked before use, so that a server may restart.

    A connection to a server that has turned out to be the wrong one takes the pool with it.
    Connecting raises `StoreUnavailable`, which calls it the ``name`` database.
    """
    # A request may hold a transaction while it waits for another store.
    patient = max(settings.idle_transaction_timeout, _REQUEST_SECONDS)
    settings = settings.model_copy(update={"idle_transaction_timeout": patient})
    connector = Connector(settings, f"{name} database {settings.safe_url}", "fecapass-api")
    engine = create_async_engine(
        settings.sqlalchemy_url,
        async_creator=connector.open,
        pool_size=settings.pool_max,
        max_overflow=0,
        # In a burst requests queue here; that is no failure of the database.
        pool_timeout=settings.command_timeout,
        pool_pre_ping=True,
    )
    event.listen(engine.sync_engine, "handle_error", _drop_what_is_bad)
    return engine


def _drop_what_is_bad(context: ExceptionContext) -> None:
    """Mark errors after which SQLAlchemy must drop this connection, or all of the pool."""
    raised = context.original_exception
    damage = damage_of(raised.__cause__ or raised)
    if damage is not Damage.NONE:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = damage is Damage.POOL


async def ping(sessions: async_sessionmaker[AsyncSession]) -> None:
    """One round trip to a database, which must take writes.

    Raises:
        StoreReadOnly: it takes none.
        StoreUnavailable: it cannot be reached.
        sqlalchemy.exc.SQLAlchemyError: it did not answer.
    """
    async with sessions() as session:
        if await session.scalar(text(IS_READ_ONLY)):
            await (await session.connection()).invalidate()
            raise StoreReadOnly("database", "ping", READ_ONLY_DETAIL)
