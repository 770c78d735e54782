"""Where images of claim checks go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import DetectSettings
from sinks.objects.crops import Crops
from streams.clients.image_producer import StoreImage


@asynccontextmanager
async def image_store(settings: DetectSettings) -> AsyncIterator[StoreImage | None]:
    """The bucket of the settings as `FramePublisher` takes it; None when there is none."""
    if settings.s3 is None:
        yield None
        return
    async with Crops(settings.s3) as crops:
        yield crops.store_source
