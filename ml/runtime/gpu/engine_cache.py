"""Where TensorRT's engines are kept from start to start: building one takes minutes."""

import importlib.metadata
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

# An engine is code for the GPU that is loaded as it is, so no other account may write it.
_MODE = 0o700
_RELEASES = ("tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt")
_SHOWN = 16


def engine_folder(cache_dir: Path, sha256: str, runtime: str) -> Path | None:
    """A folder for a model's engines under the models' cache directory.

    An engine fits one model and one release of onnxruntime and TensorRT, so each has a folder. The
    kind of GPU is part of the files' names (onnxruntime adds its compute capability).

    Args:
        cache_dir: the cache directory.
        sha256: of the model file.
        runtime: version of onnxruntime.

    Returns:
        The folder; None, with a warning, if it cannot be written.
    """
    release = f"onnxruntime-{runtime}+tensorrt-{_tensorrt_release()}"
    folder = cache_dir / "tensorrt" / release / sha256[:_SHOWN]
    try:
        folder.mkdir(_MODE, parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} belongs to another user")
    except OSError as error:
        logger.warning(
            "TensorRT's engines are not kept, so each start builds them again, in minutes: %s; "
            "FECAPASS_MODELS__CACHE_DIR names another place",
            error,
        )
        return None
    return folder


def _tensorrt_release() -> str:
    """The version that pip installed; an installation of the system has none here."""
    for package in _RELEASES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
