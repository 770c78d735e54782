"""Async sessions on both databases, as FastAPI dependencies."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from config.settings import DatabaseSettings, Settings


class Databases:
    """An engine and a maker of sessions for each database; connected when first used."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is connected yet."""
        self._main_engine = create_engine(settings.main_db)
        self._vector_engine = create_engine(settings.vector_db)
        self.main = async_sessionmaker(self._main_engine, expire_on_commit=False)
        self.vector = async_sessionmaker(self._vector_engine, expire_on_commit=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._main_engine.dispose()
        await self._vector_engine.dispose()


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine whose connections are checked before use, so that a server may restart."""
    return create_async_engine(
        settings.sqlalchemy_url,
        pool_size=settings.pool_max,
        max_overflow=0,
        # In a burst requests queue here; that is no failure of the database.
        pool_timeout=settings.command_timeout,
        pool_pre_ping=True,
        connect_args={
            "timeout": settings.connect_timeout,
            "ssl": settings.tls.argument(),
            "command_timeout": settings.command_timeout,
            "server_settings": {"application_name": "fecapass-api", "timezone": "UTC"},
        },
    )


async def get_main_db(request: Request) -> AsyncIterator[AsyncSession]:
    """A session on the main database for the time of a request."""
    databases: Databases = request.app.state.services.databases
    async with databases.main() as session:
        yield session


async def get_vector_db(request: Request) -> AsyncIterator[AsyncSession]:
    """A session on the vector database for the time of a request."""
    databases: Databases = request.app.state.services.databases
    async with databases.vector() as session:
        yield session


MainDb = Annotated[AsyncSession, Depends(get_main_db)]
VectorDb = Annotated[AsyncSession, Depends(get_vector_db)]
