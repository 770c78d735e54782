"""Memory that a worker touches for a frame, counted in pages: the same number in every run.

A copy of a frame is little of its time, and lost in a machine's noise. But with a fixed threshold
every array above it gets fresh memory from the kernel, which counts each page at the first touch
(mallopt(3), getrusage(2)): an array that is made without need, be it a copy or a second decoded
picture, by whichever library, is seen in full.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: Larger arrays get fresh memory each, in bytes; smaller ones reuse what was freed.
_THRESHOLD = 256 * 1024

#: Of a process whose memory is to be counted: glibc's threshold is fixed, what lies below it is
#: kept, and NumPy asks for no huge pages.
VARIABLES: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": str(_THRESHOLD),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "NUMPY_MADVISE_HUGEPAGE": "0",
}

# See prctl(2). Children inherit it, also over execve(2).
_SET_THP_DISABLE = 41


@contextmanager
def small_pages() -> Iterator[None]:
    """Processes that are started here get no huge pages, each of which would count as one page."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SET_THP_DISABLE, 0, 0, 0, 0)
