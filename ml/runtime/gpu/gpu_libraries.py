"""CUDA, cuDNN and TensorRT out of pip packages, whose folders the system's loader does not know."""

import contextlib
import ctypes
import importlib.util
import logging
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import onnxruntime

logger = logging.getLogger(__name__)

# Of TensorRT 10, which onnxruntime's provider is linked with; the parser needs the two before it.
_TENSORRT_PACKAGE = "tensorrt_libs"
_TENSORRT = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")


@cache
def load_libraries(*, tensorrt: bool) -> None:
    """Load what pip has installed; what it has not, onnxruntime looks for in the system.

    A library that does not load is no error here: onnxruntime names it when the provider starts.
    """
    # It prints what it does not find, and stdout may be the JSON of a command.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            onnxruntime.preload_dlls(directory="")
        except (RuntimeError, OSError) as error:
            logger.warning("CUDA's libraries out of pip packages are not loaded: %s", error)
    for path in _tensorrt_files() if tensorrt else ():
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            logger.warning("%s is not loaded: %s", path, error)


def _tensorrt_files() -> Iterator[Path]:
    """TensorRT's libraries in the order of their dependencies; none where pip has none."""
    spec = importlib.util.find_spec(_TENSORRT_PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield from (path for name in _TENSORRT if (path := Path(folder) / name).is_file())
