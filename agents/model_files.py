"""Files of embedders that were added: kept in S3, so that every worker can load them."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from config.settings import ModelSettings
from domain.decisions.model_change import EmbedderFile
from domain.images.image_errors import ModelError
from ml.runtime.model_registry import expanded, sha256_of, write_for_all
from sinks.objects.crops import Crops
from sinks.store_errors import StoreRejected

_ONNX = "application/octet-stream"


def file_key(sha256: str) -> str:
    """S3 key of a model's file."""
    return f"models/{sha256}.onnx"


async def keep_file(crops: Crops, file: EmbedderFile, path: Path) -> None:
    """Store a model's file, unless it is the built-in one.

    Raises:
        ModelError: the file was changed in the meantime.
        StoreUnavailable: S3 is unavailable.
    """
    if file.sha256 is None:
        return
    data = await asyncio.to_thread(path.read_bytes)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ModelError(f"{path} was changed while it was read")
    await crops.put(file_key(file.sha256), data, _ONNX)


async def fetch_file(crops: Crops | None, file: EmbedderFile, cache_dir: Path) -> Path | None:
    """The path of a model's file on this machine; it is fetched once, and checked each time.

    Returns:
        None for the built-in model, which has its own place.

    Raises:
        ModelError: S3 has no such file, or another one; or the cache cannot be written.
        StoreUnavailable: S3 is unavailable.
    """
    if file.sha256 is None:
        return None
    path = expanded(cache_dir, "CACHE_DIR") / "added" / f"{file.sha256}.onnx"
    if path.is_file() and await asyncio.to_thread(sha256_of, path) == file.sha256:
        return path
    if crops is None:
        raise ModelError(f"{path} is not there, and this process has no S3 settings to fetch it")
    try:
        data = await crops.get(file_key(file.sha256))
    except StoreRejected as error:
        raise ModelError(f"the model's file {file_key(file.sha256)} is not in S3") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ModelError(f"{file_key(file.sha256)} in S3 is not what its name says")
    try:
        await asyncio.to_thread(write_for_all, path, data)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}") from error
    return path


def model_file_finder(
    settings: ModelSettings, crops: Crops | None
) -> Callable[[EmbedderFile], Awaitable[Path | None]]:
    """A function that finds a model's file: in the settings, in the cache, or in S3.

    Args:
        settings: may name the file.
        crops: S3; None where this process has no settings for it.
    """

    async def find(file: EmbedderFile) -> Path | None:
        if settings.embedder == "arcface" and settings.embedder_file is not None:
            path = expanded(settings.embedder_file, "EMBEDDER_FILE")
            if await asyncio.to_thread(sha256_of, path) == file.sha256:
                return path
        return await fetch_file(crops, file, settings.cache_dir)

    return find


def settings_for(file: EmbedderFile, path: Path | None, settings: ModelSettings) -> ModelSettings:
    """The settings with this embedder instead of their own.

    Args:
        file: the embedder.
        path: of `fetch_file`.
        settings: where models run. What they say of their own embedder does not count.
    """
    own = "arcface" if file.sha256 is not None else "sface"
    is_theirs = (settings.embedder, settings.embedder_sha256) == (own, file.sha256)
    return settings.model_copy(
        update={
            "embedder": own,
            "embedder_file": path,
            "embedder_sha256": file.sha256,
            "embedder_mean": file.mean,
            "embedder_deviation": file.deviation,
            "embedder_mirror": file.mirror,
            "embedder_trusted_length": settings.embedder_trusted_length if is_theirs else None,
        }
    )
