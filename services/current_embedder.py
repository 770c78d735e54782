"""Which embedder the settings name, whose answers count where no other one serves."""

import asyncio

from config.settings import ModelSettings
from domain.images.image_errors import ModelError
from ml.runtime.model_registry import embedder_id


async def embedder_in_force(settings: ModelSettings) -> str | None:
    """Id of the embedder that the settings name; None where its file is not here.

    No model is loaded. Where the settings have the file's SHA-256, not even the file is needed.
    """
    try:
        return await asyncio.to_thread(embedder_id, settings)
    except ModelError:
        return None
