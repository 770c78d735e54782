"""Memory of this process that a GPU reads and writes directly.

The operating system may move ordinary pages, so CUDA copies their content into pages of its own
first. Pinned pages stay where they are (CUDA's documentation of ``cudaHostAlloc``).
"""

import ctypes
import logging
import math
import weakref
from functools import cache

import numpy as np

from domain.arrays import FloatArray

logger = logging.getLogger(__name__)

# Of the releases that onnxruntime is built with; it has one of them loaded already.
_LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
_DEFAULT_FLAGS = 0
_SUCCESS = 0


def ordinary(count: int) -> FloatArray:
    """Memory for so many float32 values, not pinned."""
    return np.empty(count, np.float32)


def pinned(count: int) -> FloatArray:
    """Memory for so many float32 values, pinned if that works; the content is undefined.

    It is freed with the last array that uses it.
    """
    runtime = _runtime() if count else None
    if runtime is None:
        return ordinary(count)
    pointer = ctypes.c_void_p()
    size = ctypes.c_size_t(count * np.dtype(np.float32).itemsize)
    failed = runtime.cudaHostAlloc(ctypes.byref(pointer), size, ctypes.c_uint(_DEFAULT_FLAGS))
    if failed != _SUCCESS or pointer.value is None:
        _warn(f"CUDA has no pinned memory (error {failed})")
        return ordinary(count)
    block = (ctypes.c_float * count).from_address(pointer.value)
    # Arrays of this memory keep the block alive, and the block keeps the memory.
    weakref.finalize(block, runtime.cudaFreeHost, ctypes.c_void_p(pointer.value))
    return np.ctypeslib.as_array(block)


@cache
def _runtime() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    _warn(f"none of {', '.join(_LIBRARIES)} can be loaded")
    return None


@cache
def _warn(reason: str) -> None:
    logger.warning("transfers to the GPU use memory that is not pinned: %s", reason)


def values_of(shape: tuple[int, ...]) -> int:
    """How many values an array of this shape has."""
    return math.prod(shape)
